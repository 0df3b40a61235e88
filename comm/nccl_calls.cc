#include "comm/nccl_calls.h"

#include <chrono>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer::nccl {
namespace {

/// How long an abort waits for the call that another thread is in.
constexpr std::chrono::milliseconds kAbortPatience{200};

}  // namespace

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  throw DeviceError(
      fmt::format("[cuda] {}: {} ({})", call, cudaGetErrorString(error), cudaGetErrorName(error)));
}

EventPool::~EventPool() {
  for (cudaEvent_t event : free_) cudaEventDestroy(event);
}

Event EventPool::take() {
  cudaEvent_t event = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      event = free_.back();
      free_.pop_back();
    }
  }
  if (event == nullptr) {
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
  return Event(event, [pool = shared_from_this()](cudaEvent_t unused) {
    const std::lock_guard lock(pool->mutex_);
    pool->free_.push_back(unused);
  });
}

ncclComm_t* Handles::add() {
  const std::lock_guard lock(mutex_);
  return handles_.emplace_back(std::make_unique<ncclComm_t>(nullptr)).get();
}

void Handles::remove(ncclComm_t* handle) {
  const std::lock_guard lock(mutex_);
  std::erase_if(handles_, [&](const auto& each) { return each.get() == handle; });
}

Handles::Result Handles::result_of(const char* name, ncclResult_t result) {
  if (result == ncclSuccess) return {};
  if (result == ncclInProgress) return {.in_progress = true};
  return {.error = fmt::format("{}: {}", name, ncclGetErrorString(result))};
}

Handles::Result Handles::query(ncclComm_t handle) {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(handle, &state);
  if (asked != ncclSuccess) return result_of("ncclCommGetAsyncError", asked);
  Result result = result_of("NCCL reports", state);
  if (result.error.empty()) return result;
  const std::string details = ncclGetLastError(handle);
  if (!details.empty()) result.error += fmt::format(" ({})", details);
  return result;
}

Handles::Result Handles::state_of(ncclComm_t* handle) {
  const std::lock_guard lock(mutex_);
  if (aborted_) return {.error = "NCCL was aborted"};
  return *handle == nullptr ? Result{.in_progress = true} : query(*handle);
}

Handles::Result Handles::errors() {
  // While another thread is in a call there is time: the next poll sees it.
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || aborted_) return {};
  for (const auto& handle : handles_) {
    if (*handle == nullptr) continue;
    Result result = query(*handle);
    if (!result.error.empty()) return result;
  }
  return {};
}

void Handles::abort() {
  const std::unique_lock lock(mutex_, kAbortPatience);
  aborted_ = true;
  for (const auto& handle : handles_) {
    if (*handle != nullptr) ncclCommAbort(*handle);
  }
}

}  // namespace reformer::nccl
