#include "tests/ptx/runtime/launch.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/ptx/runtime/device_properties.h"

namespace reformer::ptx {
namespace {

using Clock = std::chrono::steady_clock;

Dim3 dimensions(const dim3& from) {
  return {from.x, from.y, from.z};
}

std::string describe(const Dim3& size) {
  return std::to_string(size.x) + "×" + std::to_string(size.y) + "×" + std::to_string(size.z);
}

/// Everything that a queued launch needs.
struct QueuedLaunch {
  LoadedKernel kernel;
  LaunchShape shape;
  int device = 0;
  std::vector<std::byte> values;       // of the arguments
  std::vector<const void*> arguments;  // into values
};

void check_shape(const KernelInfo& info, const KernelLaunch& launch) {
  const dim3& grid = launch.grid;
  const dim3& block = launch.block;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  const bool grid_fits = grid.x >= 1 && grid.x <= INT32_MAX && grid.y >= 1 &&
                         grid.y <= UINT16_MAX && grid.z >= 1 && grid.z <= UINT16_MAX;
  const bool block_fits = threads >= 1 && threads <= kMaxThreadsPerBlock && block.z <= kMaxBlockZ &&
                          (info.max_threads == 0 || threads <= info.max_threads);
  if (grid_fits && block_fits) return;
  report("launch of " + demangled(info.name) + " with a grid of " + describe(dimensions(grid)) +
         " blocks of " + describe(dimensions(block)) + " threads: not a legal configuration");
  throw CallError(cudaErrorInvalidConfiguration);
}

void check_shared(const LoadedKernel& kernel, size_t dynamic_bytes) {
  const size_t fixed = kernel.info->static_shared_bytes;
  const auto limit = static_cast<size_t>(*kernel.max_dynamic_shared);
  const bool fits = dynamic_bytes <= limit && (limit > size_t{kDefaultSharedBytes} ||
                                               fixed + dynamic_bytes <= kDefaultSharedBytes);
  if (fits) return;
  report("launch of " + demangled(kernel.info->name) + " with " + std::to_string(dynamic_bytes) +
         " bytes of dynamic and " + std::to_string(fixed) +
         " of static shared memory: more than is allowed without or by "
         "cudaFuncAttributeMaxDynamicSharedMemorySize (" +
         std::to_string(limit) + ")");
  throw CallError(cudaErrorInvalidValue);
}

void check_cooperative(const Runtime& runtime, const LoadedKernel& kernel,
                       const KernelLaunch& launch) {
  const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const auto threads = static_cast<int>(launch.block.x * launch.block.y * launch.block.z);
  const int resident =
      blocks_per_multiprocessor(runtime, kernel, threads, launch.dynamic_shared_bytes);
  if (blocks <= static_cast<uint64_t>(resident) * kMultiprocessors) return;
  report("cooperative launch of " + demangled(kernel.info->name) + " with " +
         std::to_string(blocks) + " blocks: more than the device holds at a time");
  throw CallError(cudaErrorCooperativeLaunchTooLarge);
}

cudaError_t error_of(const Fault& fault, bool access_refused) {
  if (access_refused) return cudaErrorIllegalAddress;
  if (fault.reason.find("misaligned") != std::string::npos) return cudaErrorMisalignedAddress;
  if (fault.reason.find("assert") != std::string::npos) return cudaErrorAssert;
  return cudaErrorLaunchFailure;
}

StepResult run(Runtime& runtime, const QueuedLaunch& queued) {
  const DeviceView memory(runtime.memory, queued.device);
  const std::string name = demangled(queued.kernel.info->name);
  const Clock::time_point start = Clock::now();
  try {
    const uint64_t instructions = launch(
        *queued.kernel.kernel, queued.shape, queued.arguments, memory, runtime.settings.launch,
        runtime.settings.coverage.empty() ? nullptr : &runtime.coverage);
    if (runtime.settings.verbose > 0) {
      const std::chrono::duration<double> seconds = Clock::now() - start;
      report(name + ": " + describe(queued.shape.grid) + " blocks of " +
             describe(queued.shape.block) + " threads, " + std::to_string(instructions) +
             " thread-instructions in " + std::to_string(seconds.count()) + " s");
    }
    return {};
  } catch (const Fault& fault) {
    report(fault.what());
    return {.error = error_of(fault, memory.refused())};
  } catch (const std::exception& error) {
    report("launch of " + name + ": " + error.what());
    return {.error = cudaErrorLaunchFailure};
  }
}

}  // namespace

LoadedKernel kernel_of(Runtime& runtime, const void* host_function) {
  if (!runtime.modules.has_kernel(host_function)) throw CallError(cudaErrorInvalidDeviceFunction);
  return runtime.modules.kernel(host_function, runtime.device());
}

cudaError_t launch_kernel(Runtime& runtime, const KernelLaunch& launch) {
  auto queued = std::make_shared<QueuedLaunch>();
  queued->kernel = kernel_of(runtime, launch.host_function);
  queued->device = runtime.device();
  queued->shape = {.grid = dimensions(launch.grid),
                   .block = dimensions(launch.block),
                   .dynamic_shared_bytes = launch.dynamic_shared_bytes,
                   .cooperative = launch.cooperative};
  const KernelInfo& info = *queued->kernel.info;
  check_shape(info, launch);
  check_shared(queued->kernel, launch.dynamic_shared_bytes);
  if (launch.cooperative) check_cooperative(runtime, queued->kernel, launch);
  queued->values.resize(info.parameter_bytes);
  for (size_t i = 0; i < info.parameters.size(); ++i) {
    const Parameter& parameter = info.parameters[i];
    std::byte* const value = queued->values.data() + parameter.offset;
    std::memcpy(value, launch.arguments[i], parameter.bytes);
    queued->arguments.push_back(value);
  }
  Stream* const stream = runtime.stream(launch.stream);
  if (stream->device != queued->device) return cudaErrorInvalidResourceHandle;
  runtime.queue.push(stream, [&runtime, queued] { return run(runtime, *queued); });
  return cudaSuccess;
}

int blocks_per_multiprocessor(const Runtime& runtime, const LoadedKernel& kernel, int threads,
                              size_t dynamic_shared_bytes) {
  const int warps = (threads + kWarpSize - 1) / kWarpSize;
  const size_t shared =
      kernel.info->static_shared_bytes + dynamic_shared_bytes + kReservedSharedBytes;
  const size_t by_shared =
      static_cast<size_t>(shared_bytes_per_multiprocessor(runtime.modules.arch())) / shared;
  const int by_registers = kRegistersPerMultiprocessor / (kRegistersPerThread * kWarpSize * warps);
  return std::min({kMaxBlocksPerMultiprocessor, kMaxThreadsPerMultiprocessor / kWarpSize / warps,
                   std::max(1, by_registers), static_cast<int>(by_shared)});
}

}  // namespace reformer::ptx
