// Faults that are injected on request: what NCCL does when a network, a driver or a rank fails.
//
// NCCL_STANDIN_FAULT lists them, separated by commas:
//   init-hangs      the first communicator never gets ready
//   split-hangs     nor does one that is split off
//   call-hangs@N    the call that launches operation N does not return
//   stuck@N         operation N never ends, without an error
//   async-error@N   nor does it here, and ncclCommGetAsyncError says why
//   late@N:MS       operation N begins MS milliseconds late
//   miscount@N      operation N tells the other ranks another count than its own
//   abort-hangs     ncclCommAbort does not return, and ends nothing
// Operations (groups count as one) are numbered from 1 in each process, in the order of the calls.
// NCCL_STANDIN_FAULT_RANK: the rank in the process's first communicator that has them; all if
// unset.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace reformer::ptx::nccl {

class Faults {
 public:
  Faults() = default;
  /// Aborts with a message when `list` cannot be read.
  explicit Faults(const std::string& list);
  /// What the environment asks for, of the process whose first communicator gives it `rank`.
  static Faults from_environment(int rank);

  bool has(const std::string& name) const { return find(name, 0) != nullptr; }
  bool has(const std::string& name, int64_t operation) const {
    return find(name, operation) != nullptr;
  }
  std::chrono::milliseconds delay(int64_t operation) const;

 private:
  struct Fault {
    std::string name;
    int64_t operation = 0;  // 0: of no operation
    std::chrono::milliseconds delay{0};
  };
  const Fault* find(const std::string& name, int64_t operation) const;

  std::vector<Fault> faults_;
};

}  // namespace reformer::ptx::nccl
