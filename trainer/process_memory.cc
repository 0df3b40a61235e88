#include "trainer/process_memory.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "trainer/control_group.h"

namespace reformer {
namespace {

/// A value in KiB from a file of lines "Name:  123 kB", in bytes.
std::optional<size_t> read_kibibytes(const char* path, const std::string& name) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind(name + ":", 0) != 0) continue;
    return std::stoull(line.substr(name.size() + 1)) * 1024;
  }
  return std::nullopt;
}

}  // namespace

size_t resident_memory() {
  return read_kibibytes("/proc/self/status", "VmRSS").value_or(0);
}

size_t peak_resident_memory() {
  return read_kibibytes("/proc/self/status", "VmHWM").value_or(0);
}

std::optional<size_t> available_memory() {
  const std::optional<size_t> of_machine = read_kibibytes("/proc/meminfo", "MemAvailable");
  const std::optional<size_t> allowed = read_control_group().memory_left;
  return of_machine && allowed ? std::min(*of_machine, *allowed) : of_machine;
}

}  // namespace reformer
