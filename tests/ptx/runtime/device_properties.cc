#include "tests/ptx/runtime/device_properties.h"

#include <cstdint>
#include <cstring>

namespace reformer::ptx {
namespace {

constexpr int kConstantBytes = 64 * 1024;
constexpr int kCacheBytes = 32 << 20;
constexpr int kClockKilohertz = 1'000'000;
constexpr int kBusBits = 4096;
constexpr int kCopyEngines = 2;

}  // namespace

int device_attribute(const Runtime& runtime, cudaDeviceAttr attribute, int device) {
  if (device < 0 || device >= runtime.settings.devices) throw CallError(cudaErrorInvalidDevice);
  const int arch = runtime.modules.arch();
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
      return kMaxThreadsPerBlock;
    case cudaDevAttrMaxBlockDimZ:
      return kMaxBlockZ;
    case cudaDevAttrMaxGridDimX:
      return INT32_MAX;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      return UINT16_MAX;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return kDefaultSharedBytes;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return shared_bytes_per_block(arch);
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return shared_bytes_per_multiprocessor(arch);
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return kReservedSharedBytes;
    case cudaDevAttrTotalConstantMemory:
      return kConstantBytes;
    case cudaDevAttrWarpSize:
      return kWarpSize;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return kRegistersPerMultiprocessor;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
      return kClockKilohertz;
    case cudaDevAttrGlobalMemoryBusWidth:
      return kBusBits;
    case cudaDevAttrMultiProcessorCount:
      return kMultiprocessors;
    case cudaDevAttrL2CacheSize:
      return kCacheBytes;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return kMaxThreadsPerMultiprocessor;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return kMaxBlocksPerMultiprocessor;
    case cudaDevAttrComputeCapabilityMajor:
      return arch / 10;
    case cudaDevAttrComputeCapabilityMinor:
      return arch % 10;
    case cudaDevAttrAsyncEngineCount:
      return kCopyEngines;
    case cudaDevAttrPciBusId:
      return device + 1;
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrComputePreemptionSupported:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrUnifiedAddressing:
      return 1;
    default:
      return 0;
  }
}

cudaDeviceProp device_properties(const Runtime& runtime, int device) {
  const auto attribute = [&](cudaDeviceAttr name) {
    return device_attribute(runtime, name, device);
  };
  cudaDeviceProp properties = {};
  std::strcpy(properties.name, "PTX interpreter");
  properties.uuid.bytes[0] = static_cast<char>(device + 1);
  properties.major = attribute(cudaDevAttrComputeCapabilityMajor);
  properties.minor = attribute(cudaDevAttrComputeCapabilityMinor);
  properties.pciBusID = attribute(cudaDevAttrPciBusId);
  properties.totalGlobalMem = runtime.settings.memory;
  properties.totalConstMem = kConstantBytes;
  properties.sharedMemPerBlock = kDefaultSharedBytes;
  properties.sharedMemPerBlockOptin =
      static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  properties.sharedMemPerMultiprocessor =
      static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor));
  properties.reservedSharedMemPerBlock = kReservedSharedBytes;
  properties.multiProcessorCount = kMultiprocessors;
  properties.warpSize = kWarpSize;
  properties.maxThreadsPerBlock = kMaxThreadsPerBlock;
  properties.maxThreadsPerMultiProcessor = kMaxThreadsPerMultiprocessor;
  properties.maxBlocksPerMultiProcessor = kMaxBlocksPerMultiprocessor;
  properties.maxThreadsDim[0] = properties.maxThreadsDim[1] = kMaxThreadsPerBlock;
  properties.maxThreadsDim[2] = kMaxBlockZ;
  properties.maxGridSize[0] = INT32_MAX;
  properties.maxGridSize[1] = properties.maxGridSize[2] = UINT16_MAX;
  properties.regsPerBlock = properties.regsPerMultiprocessor = kRegistersPerMultiprocessor;
  properties.l2CacheSize = kCacheBytes;
  properties.memoryBusWidth = kBusBits;
  properties.asyncEngineCount = kCopyEngines;
  properties.canMapHostMemory = 1;
  properties.concurrentKernels = 1;
  properties.cooperativeLaunch = 1;
  properties.hostRegisterSupported = 1;
  properties.managedMemory = 1;
  properties.memoryPoolsSupported = 1;
  properties.streamPrioritiesSupported = 1;
  properties.unifiedAddressing = 1;
  return properties;
}

}  // namespace reformer::ptx
