#include "tests/ptx/runtime/checked_memory.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <string>

namespace reformer::ptx {
namespace {

DeviceAddress address_of(const void* pointer) {
  return reinterpret_cast<DeviceAddress>(pointer);
}

/// The place of an address of an allocation among its marks; null when it is not watched.
uint8_t* marks_of(const Allocation& allocation, DeviceAddress address) {
  return allocation.written == nullptr ? nullptr
                                       : allocation.written + (address - allocation.begin);
}

std::byte* host_of(const Allocation& allocation, DeviceAddress address) {
  return allocation.host + (address - allocation.begin);
}

void demand_written(const uint8_t* marks, size_t bytes) {
  if (marks == nullptr) return;
  const void* const unwritten = std::memchr(marks, 0, bytes);
  if (unwritten == nullptr) return;
  const auto at = static_cast<size_t>(static_cast<const uint8_t*>(unwritten) - marks);
  throw AccessError("read of memory that was never written, from byte " + std::to_string(at) +
                    " of " + std::to_string(bytes) + " on");
}

}  // namespace

CheckedMemory::CheckedMemory(int devices, size_t capacity, bool unwritten_copies)
    : unwritten_copies_(unwritten_copies),
      heap_(devices, capacity),
      peers_(static_cast<size_t>(devices)) {}

bool CheckedMemory::is_device(const void* pointer) const {
  return heap_.contains(address_of(pointer));
}

bool CheckedMemory::is_known(const void* pointer) const {
  return is_device(pointer) || hosts_.find(pointer).has_value();
}

void CheckedMemory::check_allocated(const void* pointer, size_t bytes) const {
  heap_.check_allocated(address_of(pointer), bytes);
}

Allocation CheckedMemory::find(int device, DeviceAddress address, size_t bytes) const {
  const auto* const pointer = reinterpret_cast<const void*>(address);
  const Allocation found = range_of(pointer, bytes);
  if (is_device(pointer)) {
    const std::optional<HeapBlock> block = heap_.block(address);
    if (block && !can_access(device, block->device)) {
      throw AccessError("device " + std::to_string(device) + " touches memory of device " +
                        std::to_string(block->device) + " without cudaDeviceEnablePeerAccess");
    }
  }
  return found;
}

bool CheckedMemory::enable_peer(int device, int peer) {
  const uint64_t bit = uint64_t{1} << peer;
  return (peers_[static_cast<size_t>(device)].fetch_or(bit) & bit) == 0;
}

bool CheckedMemory::can_access(int device, int owner) const {
  return device == owner || (peers_[static_cast<size_t>(device)] >> owner & 1) != 0;
}

std::byte* CheckedMemory::access(const void* pointer, size_t bytes, Access access) const {
  const DeviceAddress address = address_of(pointer);
  const Allocation found = range_of(pointer, bytes);
  uint8_t* const marks = marks_of(found, address);
  if (access == Access::kRead) {
    demand_written(marks, bytes);
  } else if (marks != nullptr) {
    std::memset(marks, 1, bytes);
  }
  return host_of(found, address);
}

void CheckedMemory::copy(void* to, const void* from, size_t bytes) const {
  Allocation source{.begin = address_of(from),
                    .host = static_cast<std::byte*>(const_cast<void*>(from))};
  Allocation target{.begin = address_of(to), .host = static_cast<std::byte*>(to)};
  if (is_device(from)) source = range_of(from, bytes);
  if (is_device(to)) target = range_of(to, bytes);
  const uint8_t* const read = marks_of(source, address_of(from));
  uint8_t* const written = marks_of(target, address_of(to));
  if (written == nullptr) {
    if (unwritten_copies_) demand_written(read, bytes);
  } else if (read == nullptr) {
    std::memset(written, 1, bytes);
  } else {
    std::memmove(written, read, bytes);
  }
  std::memmove(host_of(target, address_of(to)), host_of(source, address_of(from)), bytes);
}

void CheckedMemory::set(void* to, int value, size_t bytes) const {
  std::memset(access(to, bytes, Access::kWrite), value, bytes);
}

Allocation CheckedMemory::range_of(const void* pointer, size_t bytes) const {
  const DeviceAddress address = address_of(pointer);
  if (is_device(pointer)) return heap_.find(address, bytes);
  const std::optional<HostRange> range = hosts_.find(pointer);
  if (!range) {
    throw AccessError(pointer == nullptr
                          ? "null pointer"
                          : "neither device memory nor host memory that devices may use");
  }
  const DeviceAddress begin = address_of(range->begin);
  if (bytes > begin + range->bytes - address) {
    throw AccessError("out of bounds by " + std::to_string(address + bytes - begin - range->bytes) +
                      " bytes of " + std::to_string(range->bytes) + " bytes of host memory");
  }
  return {.begin = begin, .end = begin + range->bytes, .host = range->begin};
}

Allocation DeviceView::find(DeviceAddress address, size_t bytes, Access) const {
  try {
    return memory_.find(device_, address, bytes);
  } catch (const AccessError&) {
    refused_ = true;
    throw;
  }
}

Allocation DeviceView::allocate_variable(std::string_view name, size_t bytes, size_t) {
  const std::optional<DeviceAddress> begin =
      memory_.heap().allocate(device_, bytes, std::string(name));
  if (!begin) throw std::bad_alloc();
  const Allocation variable = memory_.heap().find(*begin, 0);
  std::memset(variable.host, 0, bytes);
  std::memset(variable.written, 1, bytes);
  return variable;
}

}  // namespace reformer::ptx
