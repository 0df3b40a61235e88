// Launches, and what can be asked of kernels.
#include <algorithm>

#include "tests/ptx/runtime/device_properties.h"
#include "tests/ptx/runtime/launch.h"

using reformer::ptx::device_call;
using reformer::ptx::KernelLaunch;
using reformer::ptx::LoadedKernel;
using reformer::ptx::report;
using reformer::ptx::Runtime;

namespace {

cudaError_t launch(const KernelLaunch& args) {
  return device_call([&](Runtime& runtime) { return launch_kernel(runtime, args); });
}

}  // namespace

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                             size_t shared_bytes, cudaStream_t stream) {
  return launch({.host_function = function,
                 .grid = grid,
                 .block = block,
                 .arguments = arguments,
                 .dynamic_shared_bytes = shared_bytes,
                 .stream = stream});
}

cudaError_t cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3 block,
                                        void** arguments, size_t shared_bytes,
                                        cudaStream_t stream) {
  return launch({.host_function = function,
                 .grid = grid,
                 .block = block,
                 .arguments = arguments,
                 .dynamic_shared_bytes = shared_bytes,
                 .stream = stream,
                 .cooperative = true});
}

/// Attributes other than these are hints, or describe an order that holds here anyway.
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function,
                                void** arguments) {
  KernelLaunch args{.host_function = function,
                    .grid = config->gridDim,
                    .block = config->blockDim,
                    .arguments = arguments,
                    .dynamic_shared_bytes = config->dynamicSmemBytes,
                    .stream = config->stream};
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config->attrs[i];
    if (attribute.id == cudaLaunchAttributeCooperative) {
      args.cooperative = attribute.val.cooperative != 0;
    } else if (attribute.id == cudaLaunchAttributeClusterDimension) {
      const auto& size = attribute.val.clusterDim;
      if (size.x * size.y * size.z > 1) {
        report("cudaLaunchKernelExC: there are no clusters here");
        return reformer::ptx::remember(cudaErrorNotSupported);
      }
    }
  }
  return launch(args);
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return device_call([&](Runtime& runtime) {
    const LoadedKernel kernel = kernel_of(runtime, function);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    const int most = reformer::ptx::shared_bytes_per_block(runtime.modules.arch()) -
                     static_cast<int>(kernel.info->static_shared_bytes);
    if (value < 0 || value > most) return cudaErrorInvalidValue;
    *kernel.max_dynamic_shared = value;
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return device_call([&](Runtime& runtime) {
    const LoadedKernel kernel = kernel_of(runtime, function);
    *attributes = {};
    attributes->sharedSizeBytes = kernel.info->static_shared_bytes;
    attributes->localSizeBytes = kernel.info->local_bytes;
    attributes->numRegs = reformer::ptx::kRegistersPerThread;
    attributes->maxThreadsPerBlock = kernel.info->max_threads == 0
                                         ? reformer::ptx::kMaxThreadsPerBlock
                                         : static_cast<int>(kernel.info->max_threads);
    attributes->ptxVersion = attributes->binaryVersion = kernel.arch;
    attributes->maxDynamicSharedSizeBytes = *kernel.max_dynamic_shared;
    attributes->preferredShmemCarveout = -1;
    return cudaSuccess;
  });
}

cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) {
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks,
                                                                   const void* function,
                                                                   int threads, size_t shared_bytes,
                                                                   unsigned) {
  return device_call([&](Runtime& runtime) {
    if (threads < 1 || threads > reformer::ptx::kMaxThreadsPerBlock) return cudaErrorInvalidValue;
    *blocks =
        blocks_per_multiprocessor(runtime, kernel_of(runtime, function), threads, shared_bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function,
                                                          int threads, size_t shared_bytes) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads,
                                                                shared_bytes, 0);
}

cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, const void* function,
                                                      int blocks, int) {
  return device_call([&](Runtime& runtime) {
    if (blocks < 1) return cudaErrorInvalidValue;
    const int each =
        reformer::ptx::shared_bytes_per_multiprocessor(runtime.modules.arch()) / blocks -
        reformer::ptx::kReservedSharedBytes -
        static_cast<int>(kernel_of(runtime, function).info->static_shared_bytes);
    *bytes = static_cast<size_t>(std::max(each, 0));
    return cudaSuccess;
  });
}
