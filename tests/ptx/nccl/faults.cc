#include "tests/ptx/nccl/faults.h"

#include <cstdio>
#include <cstdlib>
#include <regex>
#include <sstream>

#include <fmt/format.h>

namespace reformer::ptx::nccl {

Faults::Faults(const std::string& list) {
  static const std::regex kForm(
      "(init-hangs|split-hangs|abort-hangs)"
      "|(call-hangs|stuck|async-error|miscount)@([0-9]+)|(late)@([0-9]+):([0-9]+)");
  std::istringstream items(list);
  for (std::string item; std::getline(items, item, ',');) {
    std::smatch match;
    if (!std::regex_match(item, match, kForm)) {
      fmt::print(stderr, "nccl stand-in: NCCL_STANDIN_FAULT: {} is no fault\n", item);
      std::abort();
    }
    if (match[1].matched) {
      faults_.push_back({.name = match[1]});
    } else if (match[2].matched) {
      faults_.push_back({.name = match[2], .operation = std::stoll(match[3])});
    } else {
      faults_.push_back({.name = match[4],
                         .operation = std::stoll(match[5]),
                         .delay = std::chrono::milliseconds(std::stoll(match[6]))});
    }
  }
}

Faults Faults::from_environment(int rank) {
  const char* const list = std::getenv("NCCL_STANDIN_FAULT");
  const char* const chosen = std::getenv("NCCL_STANDIN_FAULT_RANK");
  if (list == nullptr || (chosen != nullptr && std::atoi(chosen) != rank)) return {};
  return Faults(list);
}

std::chrono::milliseconds Faults::delay(int64_t operation) const {
  const Fault* const late = find("late", operation);
  return late == nullptr ? std::chrono::milliseconds(0) : late->delay;
}

const Faults::Fault* Faults::find(const std::string& name, int64_t operation) const {
  for (const Fault& fault : faults_) {
    if (fault.name == name && fault.operation == operation) return &fault;
  }
  return nullptr;
}

}  // namespace reformer::ptx::nccl
