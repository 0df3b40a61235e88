// What pointers mean: device memory, host memory that devices may use, or plain host memory. Every
// access that the runtime makes or lets a kernel make is checked here.
#pragma once

#include <atomic>
#include <cstddef>
#include <string_view>
#include <vector>

#include "tests/ptx/interpreter/device_memory.h"
#include "tests/ptx/runtime/device_heap.h"
#include "tests/ptx/runtime/host_ranges.h"

namespace reformer::ptx {

class CheckedMemory {
 public:
  /// `unwritten_copies`: the host may only be given bytes that were written.
  CheckedMemory(int devices, size_t capacity, bool unwritten_copies);

  DeviceHeap& heap() { return heap_; }
  HostRanges& hosts() { return hosts_; }

  bool is_device(const void* pointer) const;
  /// Whether devices may use it as it is: device memory, or host memory that was told of.
  bool is_known(const void* pointer) const;

  /// Throws AccessError unless the device memory is allocated now, usable already or not.
  void check_allocated(const void* pointer, size_t bytes) const;

  /// What `device` may access: its own memory, and that of enabled peers. AccessError otherwise.
  Allocation find(int device, DeviceAddress address, size_t bytes) const;
  /// False when it was enabled already.
  bool enable_peer(int device, int peer);
  bool can_access(int device, int owner) const;

  /// The host bytes of [pointer, pointer + bytes), of memory that devices may use. Reading demands
  /// that all were written; writing marks them. AccessError.
  std::byte* access(const void* pointer, size_t bytes, Access access) const;

  /// Copies; either side may be of a device or of the host. AccessError.
  void copy(void* to, const void* from, size_t bytes) const;
  void set(void* to, int value, size_t bytes) const;

 private:
  Allocation range_of(const void* pointer, size_t bytes) const;

  const bool unwritten_copies_;
  DeviceHeap heap_;
  HostRanges hosts_;
  std::vector<std::atomic<uint64_t>> peers_;  // by device: a bit for each peer
};

/// The memory of one device, for one launch or module.
class DeviceView final : public DeviceMemory {
 public:
  DeviceView(CheckedMemory& memory, int device) : memory_(memory), device_(device) {}

  Allocation find(DeviceAddress address, size_t bytes, Access access) const override;
  Allocation allocate_variable(std::string_view name, size_t bytes, size_t alignment) override;

  /// Whether find has ever thrown.
  bool refused() const { return refused_; }

 private:
  CheckedMemory& memory_;
  const int device_;
  mutable std::atomic<bool> refused_ = false;
};

}  // namespace reformer::ptx
