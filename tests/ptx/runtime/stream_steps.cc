#include "tests/ptx/runtime/stream_steps.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/ptx/runtime/runtime.h"

using reformer::ptx::Access;
using reformer::ptx::AccessError;
using reformer::ptx::Runtime;
using reformer::ptx::StepResult;

int ptxStreamEnqueue(cudaStream_t stream, int (*step)(void*), void* state) {
  return reformer::ptx::device_call([&](Runtime& runtime) {
    runtime.queue.push(runtime.stream(stream), [step, state]() -> StepResult {
      const int result = step(state);
      return {.finished = result != 0, .error = result < 0 ? cudaErrorLaunchFailure : cudaSuccess};
    });
    return cudaSuccess;
  });
}

void* ptxHostPointer(const void* device, size_t bytes, int write) {
  try {
    return Runtime::instance().memory.access(device, bytes, write ? Access::kWrite : Access::kRead);
  } catch (const AccessError& error) {
    reformer::ptx::report(std::string(write ? "write of " : "read of ") + std::to_string(bytes) +
                          " bytes at " + reformer::ptx::hexadecimal(device) + ": " + error.what());
    return nullptr;
  }
}

void ptxParallelFor(int64_t count, void (*body)(void*, int64_t), void* state) {
  std::atomic<int64_t> next = 0;
  const auto work = [&] {
    for (int64_t i = next++; i < count; i = next++) body(state, i);
  };
  const int64_t threads = Runtime::instance().settings.launch.host_threads;
  std::vector<std::thread> others;
  for (int64_t i = 1; i < std::min(threads, count); ++i) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
}
