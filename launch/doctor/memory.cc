#include "launch/doctor/memory.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "kernels/core/cores.h"
#include "trainer/control_group.h"
#include "trainer/memory_plan.h"
#include "trainer/process_memory.h"

namespace reformer::doctor {
namespace {

constexpr size_t kMebibyte = size_t{1} << 20;
constexpr size_t kGibibyte = size_t{1} << 30;
// What Open MPI 4 takes there for each rank is 4 MiB; as much again for what else is there.
constexpr size_t kSharedOfRank = 8 * kMebibyte;

Finding judge_available(const MemoryFacts& facts) {
  if (!facts.available || !facts.machine) {
    return warning("memory", "the system does not tell how much there is",
                   "mount /proc; without it a run that needs too much is not refused");
  }
  std::string text = fmt::format("{} available of {}", format_bytes(*facts.available),
                                 format_bytes(*facts.machine));
  if (facts.allowed && *facts.allowed < *facts.machine) {
    text += fmt::format(", of which the control group allows {}", format_bytes(*facts.allowed));
  }
  const std::string remedy = "end other programs, or raise the limit of the container or job";
  if (*facts.available < 128 * kMebibyte) return problem("memory", text, remedy);
  if (*facts.available < kGibibyte) {
    return warning("memory", text + ": enough for the demo alone", remedy);
  }
  return ok("memory", text);
}

Finding judge_shared(const MemoryFacts& facts) {
  const char* const topic = "shared memory";
  const std::string remedy =
      "make /dev/shm larger: docker run --shm-size=1g, or mount -o remount,size=1g /dev/shm";
  if (!facts.shared) {
    return warning(topic, "there is no /dev/shm, through which ranks of a machine talk",
                   "mount a tmpfs there");
  }
  const size_t ranks = *facts.shared / kSharedOfRank;
  const std::string text = fmt::format("{} free in /dev/shm", format_bytes(*facts.shared));
  if (ranks < 2) return problem(topic, text + ": ranks that share it are killed", remedy);
  if (ranks < static_cast<size_t>(facts.usable_cores)) {
    return warning(topic, fmt::format("{}: enough for {} ranks", text, ranks), remedy);
  }
  return ok(topic, text);
}

Finding judge_lockable(const MemoryFacts& facts) {
  return warning("locked memory",
                 fmt::format("limited to {}, and there is InfiniBand, whose drivers lock what they "
                             "send",
                             format_bytes(*facts.lockable)),
                 "ulimit -l unlimited, or LimitMEMLOCK=infinity for the batch system's daemon");
}

}  // namespace

MemoryFacts look_at_memory() {
  MemoryFacts facts{.available = available_memory(),
                    .allowed = read_control_group().memory,
                    .shared = std::nullopt,
                    .usable_cores = static_cast<int>(usable_cores().size())};
  const auto pages = sysconf(_SC_PHYS_PAGES);
  if (pages > 0) {
    facts.machine = static_cast<size_t>(pages) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  }
  struct statvfs shared {};
  if (statvfs("/dev/shm", &shared) == 0) facts.shared = shared.f_bavail * shared.f_frsize;
  rlimit locked{};
  if (getrlimit(RLIMIT_MEMLOCK, &locked) == 0 && locked.rlim_cur != RLIM_INFINITY) {
    facts.lockable = locked.rlim_cur;
  }
  std::error_code error;
  facts.infiniband = std::filesystem::exists("/sys/class/infiniband", error) &&
                     !std::filesystem::is_empty("/sys/class/infiniband", error);
  return facts;
}

std::vector<Finding> judge(const MemoryFacts& facts) {
  std::vector<Finding> findings = {judge_available(facts), judge_shared(facts)};
  if (facts.infiniband && facts.lockable) findings.push_back(judge_lockable(facts));
  return findings;
}

}  // namespace reformer::doctor
