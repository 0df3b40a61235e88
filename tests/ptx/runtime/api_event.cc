// Events.
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "tests/ptx/runtime/runtime.h"

using reformer::ptx::call;
using reformer::ptx::CallError;
using reformer::ptx::device_call;
using reformer::ptx::OperationRef;
using reformer::ptx::Runtime;
using reformer::ptx::Stream;

namespace {

struct Event {
  int device = 0;
  bool timing = true;
  OperationRef recorded;  // null before the first record
};

/// The events of the process.
class Events {
 public:
  cudaEvent_t add(Event event) {
    const std::lock_guard lock(mutex_);
    auto owned = std::make_unique<Event>(std::move(event));
    auto* const handle = reinterpret_cast<cudaEvent_t>(owned.get());
    events_.emplace(handle, std::move(owned));
    return handle;
  }

  bool remove(cudaEvent_t handle) {
    const std::lock_guard lock(mutex_);
    return events_.erase(handle) == 1;
  }

  /// CallError when it is not an event.
  Event get(cudaEvent_t handle) {
    const std::lock_guard lock(mutex_);
    return checked(handle);
  }

  void set_recorded(cudaEvent_t handle, OperationRef operation) {
    const std::lock_guard lock(mutex_);
    checked(handle).recorded = std::move(operation);
  }

 private:
  Event& checked(cudaEvent_t handle) {
    const auto found = events_.find(handle);
    if (found == events_.end()) throw CallError(cudaErrorInvalidResourceHandle);
    return *found->second;
  }

  std::mutex mutex_;
  std::map<cudaEvent_t, std::unique_ptr<Event>> events_;  // guarded by mutex_
};

/// Never destroyed, as the runtime.
Events& events() {
  static auto* const all = new Events;
  return *all;
}

}  // namespace

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return device_call([&](Runtime& runtime) {
    *event = events().add({.device = runtime.device(),
                           .timing = (flags & cudaEventDisableTiming) == 0,
                           .recorded = {}});
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call([&](Runtime&) {
    return events().remove(event) ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return device_call([&](Runtime& runtime) {
    Stream* const on = runtime.stream(stream);
    if (events().get(event).device != on->device) return cudaErrorInvalidResourceHandle;
    events().set_recorded(event, runtime.queue.push(on, {}));
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return device_call([&](Runtime& runtime) {
    const OperationRef recorded = events().get(event).recorded;
    if (recorded) runtime.queue.push(runtime.stream(stream), {}, recorded);
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return device_call([&](Runtime& runtime) {
    runtime.queue.wait(events().get(event).recorded);
    return runtime.device_error();
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return device_call([&](Runtime& runtime) {
    const bool finished = runtime.queue.poll(events().get(event).recorded);
    const cudaError_t error = runtime.device_error();
    return error != cudaSuccess || finished ? error : cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return device_call([&](Runtime& runtime) {
    const Event from = events().get(start);
    const Event to = events().get(end);
    if (!from.timing || !to.timing || !from.recorded || !to.recorded) {
      return cudaErrorInvalidResourceHandle;
    }
    const auto started = runtime.queue.finished_at(from.recorded);
    const auto ended = runtime.queue.finished_at(to.recorded);
    if (!started || !ended) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(*ended - *started).count();
    return cudaSuccess;
  });
}
