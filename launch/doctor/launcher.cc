#include "launch/doctor/launcher.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "comm/mpi.h"
#include "launch/exit_codes.h"
#include "launch/job.h"

namespace reformer::doctor {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kVersionTimeout{10};
constexpr std::chrono::seconds kMeetingTimeout{30};

/// The first "4.1" in a text; empty if there is none.
std::string version_in(const std::string& text) {
  const auto is_digit = [&](size_t i) {
    return i < text.size() && '0' <= text[i] && text[i] <= '9';
  };
  for (size_t begin = 0; begin < text.size(); ++begin) {
    if (!is_digit(begin)) continue;
    size_t end = begin;
    while (is_digit(end)) ++end;
    const size_t dot = end++;
    if (dot >= text.size() || text[dot] != '.' || !is_digit(end)) continue;
    while (is_digit(end)) ++end;
    return text.substr(begin, end - begin);
  }
  return "";
}

/// "Open MPI v4.1.4" of a longer text.
std::string up_to_comma(const std::string& text) {
  return text.substr(0, text.find_first_of(",\n"));
}

bool is_open_mpi(const std::string& text) {
  return text.find("Open MPI") != std::string::npos;
}

Finding judge_launcher(const LauncherFacts& facts) {
  const std::string& said = facts.launcher.output;
  if (!facts.launcher.found) {
    return warning("launcher", "there is no mpirun: one rank alone can be started",
                   "apt-get install openmpi-bin, or start ranks with srun --mpi=pmix");
  }
  const bool other_kind = is_open_mpi(said) != is_open_mpi(facts.library);
  if (facts.launcher.status == 0 && (other_kind || version_in(said) != version_in(facts.library))) {
    return problem("launcher",
                   fmt::format("mpirun is of {}, and the program is linked with {}",
                               up_to_comma(said), up_to_comma(facts.library)),
                   "put the bin folder of the library's own mpirun first in PATH");
  }
  if (facts.launcher.status != 0) {
    return problem("launcher",
                   fmt::format("mpirun --version failed with status {}: {}", facts.launcher.status,
                               last_line(said)),
                   "apt-get install --reinstall openmpi-bin");
  }
  return ok("launcher", up_to_comma(said));
}

Finding judge_meeting(const LauncherFacts& facts) {
  const char* const topic = "ranks";
  if (facts.meeting.timed_out) {
    return problem(topic,
                   fmt::format("two ranks did not meet within {} s", kMeetingTimeout.count()),
                   "try mpirun -n 2 hostname; a firewall on the loopback device, or a name of this "
                   "machine that does not resolve, are common causes");
  }
  if (facts.meeting.status != 0) {
    return problem(topic,
                   fmt::format("two ranks failed to meet, status {}: {}", facts.meeting.status,
                               last_line(facts.meeting.output)),
                   "try mpirun -n 2 hostname");
  }
  return ok(topic,
            fmt::format("two met, {:.1f} s from the start to the end", facts.meeting_seconds));
}

}  // namespace

LauncherFacts look_at_launcher() {
  LauncherFacts facts{.library = mpi_library_version()};
  facts.under_launcher = is_started_by_mpi([](const char* name) { return std::getenv(name); });
  if (facts.under_launcher) return facts;
  facts.launcher = run_command({"mpirun", "--version"}, {}, kVersionTimeout);
  if (!facts.launcher.found) return facts;

  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error).string();
  std::vector<std::string> command = {"mpirun", "-n", "2", self, "doctor", "--as-rank"};
  if (is_open_mpi(facts.launcher.output)) {
    // On any number of cores, and whoever the user is.
    command.insert(command.begin() + 1, {"--oversubscribe", "--bind-to", "none"});
  }
  const Clock::time_point start = Clock::now();
  facts.meeting = run_command(
      command, {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"}, kMeetingTimeout);
  facts.meeting_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return facts;
}

std::vector<Finding> judge(const LauncherFacts& facts) {
  std::vector<Finding> findings = {ok("MPI", up_to_comma(facts.library))};
  if (facts.under_launcher) {
    findings.push_back(ok("launcher", "this process is a rank itself: nothing was tried"));
    return findings;
  }
  findings.push_back(judge_launcher(facts));
  if (facts.launcher.found) findings.push_back(judge_meeting(facts));
  return findings;
}

int meet_other_rank() {
  return run_as_rank([](const RankPlace& place) {
    const int64_t ranks = place.communicator.sum(1, "doctor");
    if (ranks == 2) return kExitOk;
    fmt::print(stderr, "reformer: error: {} rank met, 2 were started\n", ranks);
    return kExitComm;
  });
}

}  // namespace reformer::doctor
