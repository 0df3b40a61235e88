// Devices, versions, and settings that change nothing here.
#include <cstdio>

#include "tests/ptx/runtime/device_properties.h"

using reformer::ptx::call;
using reformer::ptx::device_call;
using reformer::ptx::Runtime;

namespace {

constexpr int kVersion = CUDART_VERSION;

bool is_device(const Runtime& runtime, int device) {
  return device >= 0 && device < runtime.settings.devices;
}

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  return call([&](Runtime& runtime) {
    *count = runtime.settings.devices;
    return *count == 0 ? cudaErrorNoDevice : cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call([&](Runtime& runtime) {
    if (runtime.settings.devices == 0) return cudaErrorNoDevice;
    if (!is_device(runtime, device)) return cudaErrorInvalidDevice;
    runtime.set_device(device);
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call([&](Runtime& runtime) {
    if (runtime.settings.devices == 0) return cudaErrorNoDevice;
    *device = runtime.device();
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call([&](Runtime& runtime) {
    *value = reformer::ptx::device_attribute(runtime, attribute, device);
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call([&](Runtime& runtime) {
    *properties = reformer::ptx::device_properties(runtime, device);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  return call([&](Runtime& runtime) {
    if (!is_device(runtime, device)) return cudaErrorInvalidDevice;
    std::snprintf(text, static_cast<size_t>(length), "0000:%02x:00.0", device + 1);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  return call([&](Runtime& runtime) {
    if (!is_device(runtime, device) || !is_device(runtime, peer)) return cudaErrorInvalidDevice;
    *can = device != peer;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned) {
  return device_call([&](Runtime& runtime) {
    if (!is_device(runtime, peer) || peer == runtime.device()) return cudaErrorInvalidDevice;
    return runtime.memory.enable_peer(runtime.device(), peer) ? cudaSuccess
                                                              : cudaErrorPeerAccessAlreadyEnabled;
  });
}

cudaError_t cudaSetDeviceFlags(unsigned) {
  return cudaSuccess;
}

cudaError_t cudaDeviceSetLimit(cudaLimit, size_t) {
  return cudaSuccess;
}

cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache) {
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}
