// Device memory for tests of the interpreter: allocations on the host's heap, far from each other
// in the device's address space.
#pragma once

#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tests/ptx/interpreter/device_memory.h"

namespace reformer::ptx {

class HeapMemory : public DeviceMemory {
 public:
  // Not written yet.
  DeviceAddress allocate(std::size_t bytes);
  template <class X>
  DeviceAddress allocate(const std::vector<X>& values) {
    const DeviceAddress address = allocate(values.size() * sizeof(X));
    write(address, std::as_bytes(std::span(values)));
    return address;
  }
  void free(DeviceAddress address);
  void write(DeviceAddress address, std::span<const std::byte> bytes);
  template <class X>
  std::vector<X> read(DeviceAddress address, std::size_t count) const {
    std::vector<X> values(count);
    const Allocation allocation = find(address, count * sizeof(X), Access::kRead);
    std::memcpy(values.data(), allocation.host + (address - allocation.begin), count * sizeof(X));
    return values;
  }

  Allocation find(DeviceAddress address, std::size_t bytes, Access access) const override;
  Allocation allocate_variable(std::string_view name, std::size_t bytes,
                               std::size_t alignment) override;

 private:
  struct Block {
    std::vector<std::byte> bytes;
    std::vector<std::uint8_t> written;
    bool freed = false;
  };
  Allocation allocation_of(DeviceAddress begin, Block& block) const;

  // Finding changes nothing, but hands out places to write to.
  mutable std::map<DeviceAddress, Block> blocks_;
  DeviceAddress next_ = 0x7000'0000'0000;
};

}  // namespace reformer::ptx
