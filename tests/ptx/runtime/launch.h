// Kernel launches.
#pragma once

#include "tests/ptx/runtime/runtime.h"

namespace reformer::ptx {

struct KernelLaunch {
  const void* host_function = nullptr;
  dim3 grid;
  dim3 block;
  void** arguments = nullptr;  // their values are taken at once
  size_t dynamic_shared_bytes = 0;
  cudaStream_t stream = nullptr;
  bool cooperative = false;
};

/// Checks the launch as a device would and queues it.
cudaError_t launch_kernel(Runtime& runtime, const KernelLaunch& launch);

/// A registered kernel on the calling thread's device. CallError when it is not one.
LoadedKernel kernel_of(Runtime& runtime, const void* host_function);

/// The most blocks of a kernel that one multiprocessor holds.
int blocks_per_multiprocessor(const Runtime& runtime, const LoadedKernel& kernel, int threads,
                              size_t dynamic_shared_bytes);

/// Nobody allocates registers here. What a kernel of medium size would have.
inline constexpr int kRegistersPerThread = 64;

}  // namespace reformer::ptx
