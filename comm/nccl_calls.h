// Calls of CUDA and NCCL that succeed or throw, and the handles of NCCL's communicators.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>
#include <nccl.h>

namespace reformer::nccl {

/// Throws DeviceError with the name of the call unless it succeeded.
void check(cudaError_t error, const char* call);

/// An event that is not timed; its last owner gives it back to the pool.
using Event = std::shared_ptr<CUevent_st>;

/// Used by any thread.
class EventPool : public std::enable_shared_from_this<EventPool> {
 public:
  ~EventPool();
  Event take();

 private:
  std::mutex mutex_;
  std::vector<cudaEvent_t> free_;
};

/// Calls on NCCL's communicators of this process. One at a time, since NCCL does not promise more.
class Handles {
 public:
  /// What a call came to; `error` is empty unless it failed.
  struct Result {
    bool in_progress = false;
    std::string error{};
  };

  /// A handle as NCCL writes it, at an address that stays while this object lives.
  ncclComm_t* add();
  void remove(ncclComm_t* handle);

  /// Runs `call`, named `name`. Nothing is called any more after abort().
  template <typename Call>
  Result run(const char* name, const Call& call) {
    const std::lock_guard lock(mutex_);
    if (aborted_) return {.error = "NCCL was aborted"};
    return result_of(name, call());
  }
  /// The state of one communicator, in progress too while NCCL has not written its handle, or the
  /// first error of any.
  Result state_of(ncclComm_t* handle);
  Result errors();

  /// Aborts all communicators. Does not wait for a call that hangs.
  void abort();

 private:
  static Result result_of(const char* name, ncclResult_t result);
  Result query(ncclComm_t handle);

  std::timed_mutex mutex_;
  std::vector<std::unique_ptr<ncclComm_t>> handles_;  // guarded by mutex_
  std::atomic<bool> aborted_ = false;
};

}  // namespace reformer::nccl
