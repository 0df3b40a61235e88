// Allocation, and what can be asked of pointers.
#include <limits>
#include <optional>

#include "tests/ptx/runtime/runtime.h"

using reformer::ptx::call;
using reformer::ptx::checked_step;
using reformer::ptx::device_call;
using reformer::ptx::DeviceAddress;
using reformer::ptx::HeapBlock;
using reformer::ptx::HostKind;
using reformer::ptx::HostRange;
using reformer::ptx::Runtime;

namespace {

void* pointer_to(DeviceAddress address) {
  return reinterpret_cast<void*>(address);
}

DeviceAddress address_of(const void* pointer) {
  return reinterpret_cast<DeviceAddress>(pointer);
}

cudaError_t allocate_host(void** pointer, size_t bytes, HostKind kind) {
  return device_call([&](Runtime& runtime) {
    *pointer = bytes == 0 ? nullptr : runtime.memory.hosts().allocate(bytes, kind);
    return bytes == 0 || *pointer != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return device_call([&](Runtime& runtime) {
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    const auto address = runtime.memory.heap().allocate(runtime.device(), bytes);
    if (!address) return cudaErrorMemoryAllocation;
    *pointer = pointer_to(*address);
    return cudaSuccess;
  });
}

/// Waits for the device first, as CUDA's does; also when that has failed.
cudaError_t cudaFree(void* pointer) {
  return call([&](Runtime& runtime) {
    if (pointer == nullptr) return cudaSuccess;
    const std::optional<HeapBlock> block = runtime.memory.heap().block(address_of(pointer));
    runtime.queue.wait_device(block ? block->device : runtime.device());
    if (runtime.memory.hosts().remove(pointer, HostKind::kManaged)) return cudaSuccess;
    runtime.memory.heap().free(address_of(pointer));
    return runtime.device_error();
  });
}

cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t stream) {
  return device_call([&](Runtime& runtime) {
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    auto& heap = runtime.memory.heap();
    const auto address = heap.allocate(runtime.device(), bytes, "", false);
    if (!address) return cudaErrorMemoryAllocation;
    runtime.queue.push(runtime.stream(stream), checked_step("cudaMallocAsync", [&heap, address] {
                         heap.make_usable(*address);
                       }));
    *pointer = pointer_to(*address);
    return cudaSuccess;
  });
}

cudaError_t cudaMallocFromPoolAsync(void** pointer, size_t bytes, cudaMemPool_t,
                                    cudaStream_t stream) {
  return cudaMallocAsync(pointer, bytes, stream);
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return device_call([&](Runtime& runtime) {
    if (pointer == nullptr) return cudaSuccess;
    if (!runtime.memory.is_device(pointer)) return cudaErrorInvalidValue;
    runtime.memory.check_allocated(pointer, 1);
    auto& heap = runtime.memory.heap();
    runtime.queue.push(runtime.stream(stream), checked_step("cudaFreeAsync", [&heap, pointer] {
                         heap.free(address_of(pointer));
                       }));
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return call([&](Runtime& runtime) {
    if (device < 0 || device >= runtime.settings.devices) return cudaErrorInvalidDevice;
    *pool = reinterpret_cast<cudaMemPool_t>(runtime.queue.default_stream(device));
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) {
  return cudaDeviceGetDefaultMemPool(pool, device);
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  return allocate_host(pointer, bytes, HostKind::kPinned);
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  return allocate_host(pointer, bytes, HostKind::kPinned);
}

cudaError_t cudaMallocManaged(void** pointer, size_t bytes, unsigned) {
  return allocate_host(pointer, bytes, HostKind::kManaged);
}

cudaError_t cudaFreeHost(void* pointer) {
  return call([&](Runtime& runtime) {
    if (pointer == nullptr) return cudaSuccess;
    for (int device = 0; device < runtime.settings.devices; ++device) {
      runtime.queue.wait_device(device);
    }
    return runtime.memory.hosts().remove(pointer, HostKind::kPinned) ? cudaSuccess
                                                                     : cudaErrorInvalidValue;
  });
}

cudaError_t cudaHostRegister(void* pointer, size_t bytes, unsigned) {
  return device_call([&](Runtime& runtime) {
    if (pointer == nullptr || bytes == 0) return cudaErrorInvalidValue;
    const HostRange range{
        .begin = static_cast<std::byte*>(pointer), .bytes = bytes, .kind = HostKind::kRegistered};
    return runtime.memory.hosts().add(range) ? cudaSuccess : cudaErrorHostMemoryAlreadyRegistered;
  });
}

cudaError_t cudaHostUnregister(void* pointer) {
  return call([&](Runtime& runtime) {
    for (int device = 0; device < runtime.settings.devices; ++device) {
      runtime.queue.wait_device(device);
    }
    return runtime.memory.hosts().remove(pointer, HostKind::kRegistered)
               ? cudaSuccess
               : cudaErrorHostMemoryNotRegistered;
  });
}

cudaError_t cudaHostGetDevicePointer(void** device_pointer, void* pointer, unsigned) {
  return device_call([&](Runtime& runtime) {
    if (!runtime.memory.hosts().find(pointer)) return cudaErrorInvalidValue;
    *device_pointer = pointer;
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return device_call([&](Runtime& runtime) {
    *attributes = {};
    attributes->device = runtime.device();
    auto* const plain = const_cast<void*>(pointer);
    if (const auto block = runtime.memory.heap().block(address_of(pointer))) {
      attributes->type = cudaMemoryTypeDevice;
      attributes->device = block->device;
      attributes->devicePointer = plain;
    } else if (const auto range = runtime.memory.hosts().find(pointer)) {
      const bool managed = range->kind == HostKind::kManaged;
      attributes->type = managed ? cudaMemoryTypeManaged : cudaMemoryTypeHost;
      attributes->devicePointer = attributes->hostPointer = plain;
    } else {
      attributes->type = cudaMemoryTypeUnregistered;
      attributes->device = cudaInvalidDeviceId;
      attributes->hostPointer = plain;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return device_call([&](Runtime& runtime) {
    *total = runtime.memory.heap().capacity();
    *free = *total - runtime.memory.heap().used(runtime.device());
    return cudaSuccess;
  });
}
