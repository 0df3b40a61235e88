// The device that programs see: the limits of an A100, or from compute capability 9.0 on those of
// an H100, with few multiprocessors.
#pragma once

#include <cstddef>

#include <cuda_runtime_api.h>

#include "tests/ptx/runtime/runtime.h"

namespace reformer::ptx {

inline constexpr int kWarpSize = 32;
inline constexpr int kMultiprocessors = 4;
inline constexpr int kMaxThreadsPerBlock = 1024;
inline constexpr int kMaxBlockZ = 64;
inline constexpr int kMaxThreadsPerMultiprocessor = 2048;
inline constexpr int kMaxBlocksPerMultiprocessor = 32;
inline constexpr int kRegistersPerMultiprocessor = 65536;
inline constexpr int kReservedSharedBytes = 1024;  // of each block, for the system

inline int shared_bytes_per_multiprocessor(int arch) {
  return (arch < 90 ? 164 : 228) * 1024;
}
inline int shared_bytes_per_block(int arch) {
  return shared_bytes_per_multiprocessor(arch) - kReservedSharedBytes;
}

/// 0 for attributes of what the device does not have. CallError when there is no such device.
int device_attribute(const Runtime& runtime, cudaDeviceAttr attribute, int device);

cudaDeviceProp device_properties(const Runtime& runtime, int device);

}  // namespace reformer::ptx
