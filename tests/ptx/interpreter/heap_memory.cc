#include "tests/ptx/interpreter/heap_memory.h"

#include <algorithm>

#include <fmt/format.h>

namespace reformer::ptx {

DeviceAddress HeapMemory::allocate(std::size_t bytes) {
  const DeviceAddress address = next_;
  next_ += (bytes + 0x1fff) / 0x1000 * 0x1000;  // at least a page between two
  Block& block = blocks_[address];
  block.bytes.assign(bytes, std::byte{0xff});
  block.written.assign(bytes, 0);
  return address;
}

void HeapMemory::free(DeviceAddress address) {
  blocks_.at(address).freed = true;
}

void HeapMemory::write(DeviceAddress address, std::span<const std::byte> bytes) {
  const Allocation allocation = find(address, bytes.size(), Access::kWrite);
  const std::size_t offset = address - allocation.begin;
  std::memcpy(allocation.host + offset, bytes.data(), bytes.size());
  std::memset(allocation.written + offset, 1, bytes.size());
}

Allocation HeapMemory::allocation_of(DeviceAddress begin, Block& block) const {
  return {begin, begin + block.bytes.size(), block.bytes.data(), block.written.data()};
}

Allocation HeapMemory::find(DeviceAddress address, std::size_t bytes, Access) const {
  auto after = blocks_.upper_bound(address);
  if (after == blocks_.begin()) throw AccessError("not in device memory");
  auto& [begin, block] = *std::prev(after);
  if (block.freed) {
    throw AccessError(
        fmt::format("use after free of an allocation of {} bytes", block.bytes.size()));
  }
  const DeviceAddress end = begin + block.bytes.size();
  if (address + bytes > end) {
    throw AccessError(fmt::format("out of bounds by {} bytes of an allocation of {} bytes",
                                  address + bytes - end, block.bytes.size()));
  }
  return allocation_of(begin, block);
}

Allocation HeapMemory::allocate_variable(std::string_view, std::size_t bytes, std::size_t) {
  const DeviceAddress address = allocate(bytes);
  Block& block = blocks_[address];
  std::fill(block.bytes.begin(), block.bytes.end(), std::byte{0});
  std::fill(block.written.begin(), block.written.end(), std::uint8_t{1});
  return allocation_of(address, block);
}

}  // namespace reformer::ptx
