// Streams and host functions.
#include "tests/ptx/runtime/runtime.h"

using reformer::ptx::call;
using reformer::ptx::device_call;
using reformer::ptx::OperationRef;
using reformer::ptx::Runtime;
using reformer::ptx::StepResult;
using reformer::ptx::Stream;
using reformer::ptx::StreamQueue;

namespace {

constexpr int kLeastPriority = 0;
constexpr int kGreatestPriority = -5;

}  // namespace

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return device_call([&](Runtime& runtime) {
    const bool blocking = (flags & cudaStreamNonBlocking) == 0;
    *stream = reinterpret_cast<cudaStream_t>(
        runtime.queue.create_stream(runtime.device(), blocking, priority));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, kLeastPriority);
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call([&](Runtime& runtime) {
    if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread) {
      return cudaErrorInvalidResourceHandle;
    }
    runtime.queue.destroy_stream(runtime.stream(stream));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return device_call([&](Runtime& runtime) {
    runtime.queue.wait(runtime.queue.last(runtime.stream(stream)));
    return runtime.device_error();
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return device_call([&](Runtime& runtime) {
    const bool finished = runtime.queue.poll(runtime.queue.last(runtime.stream(stream)));
    const cudaError_t error = runtime.device_error();
    return error != cudaSuccess || finished ? error : cudaErrorNotReady;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return device_call([&](Runtime& runtime) {
    runtime.queue.wait_device(runtime.device());
    return runtime.device_error();
  });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = kLeastPriority;
  *greatest = kGreatestPriority;
  return cudaSuccess;
}

cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  return device_call([&](Runtime& runtime) {
    *priority = runtime.stream(stream)->priority;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
  return device_call([&](Runtime& runtime) {
    *flags = runtime.stream(stream)->blocking ? cudaStreamDefault : cudaStreamNonBlocking;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  return device_call([&](Runtime& runtime) {
    *device = runtime.stream(stream)->device;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return device_call([&](Runtime& runtime) {
    const auto step = [=]() -> StepResult {
      function(data);
      return {};
    };
    runtime.queue.push(runtime.stream(stream), step, nullptr, StreamQueue::Kind::kHost);
    return cudaSuccess;
  });
}
