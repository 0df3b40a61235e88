#include "launch/doctor/disk.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "trainer/memory_plan.h"

namespace reformer::doctor {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr size_t kProbeBytes = size_t{16} << 20;
constexpr int64_t kTmpfs = 0x01021994;
constexpr int64_t kRamfs = 0x858458f6;
// A checkpoint of the published model: 149 million parameters, and twice as much optimizer state.
constexpr size_t kPublishedCheckpoint = size_t{149'176'576} * 3 * 4;
constexpr size_t kLeast = size_t{64} << 20;
constexpr double kSlow = 20e6;

/// The folder itself or the nearest above it that is there.
fs::path nearest_folder(const fs::path& path) {
  std::error_code error;
  fs::path folder = fs::absolute(path, error).lexically_normal();
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

/// Measures how fast `kProbeBytes` reach the disk, or says why they do not.
void probe(DiskFacts& facts) {
  const std::string path = fmt::format("{}/.reformer-doctor-{}", facts.folder, getpid());
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    facts.fault = std::strerror(errno);
    return;
  }
  const std::vector<char> bytes(size_t{1} << 20, 'x');
  const Clock::time_point start = Clock::now();
  size_t written = 0;
  bool failed = false;
  while (!failed && written < kProbeBytes) {
    const ssize_t part = write(fd, bytes.data(), bytes.size());
    failed = part < 0 && errno != EINTR;
    if (part > 0) written += static_cast<size_t>(part);
  }
  if (failed || fsync(fd) != 0) facts.fault = std::strerror(errno);
  facts.bytes_per_second =
      static_cast<double>(written) / std::chrono::duration<double>(Clock::now() - start).count();
  close(fd);
  unlink(path.c_str());
}

Finding judge_space(const DiskFacts& facts) {
  const char* const topic = "disk space";
  const std::string text = fmt::format("{} free in {}", format_bytes(facts.free), facts.folder);
  const std::string remedy = "free some, or put runs elsewhere with --run-dir";
  if (facts.free < kLeast) return problem(topic, text, remedy);
  // The next checkpoint is written before an old one goes.
  if (facts.free < 3 * kPublishedCheckpoint) {
    return warning(topic,
                   fmt::format("{}; a run of the published model keeps two checkpoints of {}, and "
                               "writes a third beside them",
                               text, format_bytes(kPublishedCheckpoint)),
                   remedy);
  }
  return ok(topic, text);
}

Finding judge_speed(const DiskFacts& facts) {
  const char* const topic = "disk speed";
  const std::string text =
      fmt::format("{:.0f} MB/s, written and synced", facts.bytes_per_second * 1e-6);
  if (facts.bytes_per_second >= kSlow) return ok(topic, text);
  return warning(topic,
                 fmt::format("{}: saving the published model takes {:.0f} s", text,
                             static_cast<double>(kPublishedCheckpoint) / facts.bytes_per_second),
                 "put runs on another disk with --run-dir, or save seldom (checkpoint.every)");
}

}  // namespace

DiskFacts look_at_disk(const std::string& run_directory) {
  DiskFacts facts{.run_directory = run_directory, .folder = nearest_folder(run_directory).string()};
  std::error_code error;
  if (!fs::is_directory(facts.folder, error)) {
    facts.fault = "is no directory";
    return facts;
  }
  const fs::space_info space = fs::space(facts.folder, error);
  if (!error) facts.free = space.available;
  struct statfs system {};
  if (statfs(facts.folder.c_str(), &system) == 0) {
    facts.in_memory = system.f_type == kTmpfs || system.f_type == kRamfs;
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    facts.largest_file = limit.rlim_cur;
  }
  if (!facts.largest_file || *facts.largest_file >= kProbeBytes) probe(facts);
  return facts;
}

std::vector<Finding> judge(const DiskFacts& facts) {
  if (!facts.fault.empty()) {
    return {problem(
        "run directory",
        fmt::format("{} cannot be written: {}: {}", facts.run_directory, facts.folder, facts.fault),
        "name another with --run-dir, or change its owner or mode")};
  }
  std::vector<Finding> findings = {judge_space(facts)};
  if (facts.largest_file) {
    findings.push_back(warning(
        "file size",
        fmt::format("limited to {}: a larger checkpoint fails", format_bytes(*facts.largest_file)),
        "ulimit -f unlimited"));
  }
  if (facts.in_memory) {
    findings.push_back(warning("run directory",
                               fmt::format("{} is in memory: what is saved there is lost at the "
                                           "next start of the machine",
                                           facts.folder),
                               "put runs on a disk with --run-dir"));
  }
  if (facts.bytes_per_second > 0) findings.push_back(judge_speed(facts));
  return findings;
}

}  // namespace reformer::doctor
