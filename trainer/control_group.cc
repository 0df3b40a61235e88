#include "trainer/control_group.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace reformer {
namespace {

namespace fs = std::filesystem;

// Version 1 says "no limit" by a number near 2^63.
constexpr double kNoLimit = 0x1p62;

/// The numbers at the start of a file; "max" is none.
std::vector<double> read_numbers(const fs::path& path) {
  std::ifstream file(path);
  std::vector<double> numbers;
  std::string word;
  while (file >> word) {
    std::istringstream text(word);
    double number = 0;
    if (!(text >> number)) break;
    numbers.push_back(number);
  }
  return numbers;
}

std::optional<double> read_number(const fs::path& path) {
  const std::vector<double> numbers = read_numbers(path);
  if (numbers.empty() || numbers[0] < 0 || numbers[0] >= kNoLimit) return std::nullopt;
  return numbers[0];
}

/// A value of lines "name value".
double read_entry(const fs::path& path, const std::string& name) {
  std::ifstream file(path);
  std::string key;
  double value = 0;
  while (file >> key >> value) {
    if (key == name) return value;
  }
  return 0;
}

/// Takes over a limit that is tighter than the one before.
template <typename Value>
void tighten(std::optional<Value>& limit, double value) {
  const auto own = static_cast<Value>(value);
  limit = limit ? std::min(*limit, own) : own;
}

struct MemoryFiles {
  const char* limit;
  const char* used;
  const char* reclaimable;  // of memory.stat
};

void add_memory(const fs::path& group, const MemoryFiles& files, ControlGroup& result) {
  const std::optional<double> limit = read_number(group / files.limit);
  if (!limit) return;
  // Pages of files that nobody looked at lately are given up before anything fails.
  const double used = read_number(group / files.used).value_or(0) -
                      read_entry(group / "memory.stat", files.reclaimable);
  tighten(result.memory, *limit);
  tighten(result.memory_left, std::max(0.0, *limit - std::max(0.0, used)));
}

void add_version_1(const fs::path& group, ControlGroup& result) {
  const std::optional<double> quota = read_number(group / "cpu.cfs_quota_us");
  const std::optional<double> period = read_number(group / "cpu.cfs_period_us");
  if (quota && period && *period > 0) tighten(result.cores, *quota / *period);
  add_memory(group,
             {.limit = "memory.limit_in_bytes",
              .used = "memory.usage_in_bytes",
              .reclaimable = "total_inactive_file"},
             result);
}

void add_version_2(const fs::path& group, ControlGroup& result) {
  const std::vector<double> quota_and_period = read_numbers(group / "cpu.max");
  if (quota_and_period.size() == 2 && quota_and_period[1] > 0) {
    tighten(result.cores, quota_and_period[0] / quota_and_period[1]);
  }
  add_memory(group,
             {.limit = "memory.max", .used = "memory.current", .reclaimable = "inactive_file"},
             result);
}

/// `mount` and every folder from there down to `mount`/`path`. In a container the path may be that
/// of the host: what does not exist limits nothing.
std::vector<fs::path> groups_between(const fs::path& mount, const fs::path& path) {
  std::vector<fs::path> groups = {mount};
  for (const fs::path& name : path.relative_path()) groups.push_back(groups.back() / name);
  return groups;
}

}  // namespace

ControlGroup read_control_group(const std::string& root) {
  ControlGroup result;
  const fs::path mounts = root + "/sys/fs/cgroup";
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line;  // "4:memory:/path", or "0::/path" for version 2
  while (std::getline(file, line)) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      for (const fs::path& group : groups_between(mounts, path)) add_version_2(group, result);
    } else {
      for (const fs::path& group : groups_between(mounts / controllers, path)) {
        add_version_1(group, result);
      }
    }
  }
  return result;
}

}  // namespace reformer
