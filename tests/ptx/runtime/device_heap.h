// The memory of the devices.
//
// Device addresses are a range that the process reserves and can never touch; the bytes lie at a
// constant distance from them, and a mark for each byte, whether it was ever written, at another.
// So host code that follows a device pointer dies, and nothing of the host is taken for the
// device's. New memory is filled with NaN and not written. Addresses are handed out upwards: a
// freed one comes back only after the whole range was used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "tests/ptx/interpreter/device_memory.h"

namespace reformer::ptx {

/// What the owner knows of an allocation.
struct HeapBlock {
  DeviceAddress begin = 0;
  size_t bytes = 0;
  int device = 0;
  uint64_t number = 0;  // counted from 1, over all devices
  std::string name;     // of a module's variable
};

/// Safe to call from any thread.
class DeviceHeap {
 public:
  /// `capacity`: bytes of each device; `address_space`: of all addresses, of which less is taken
  /// when there is not so much.
  DeviceHeap(int devices, size_t capacity, size_t address_space = size_t{64} << 30);
  ~DeviceHeap();
  DeviceHeap(const DeviceHeap&) = delete;
  DeviceHeap& operator=(const DeviceHeap&) = delete;

  /// Null when the device has not so much memory left. `bytes` may be 0. `usable`: from now on, and
  /// not only after make_usable, which the stream of an asynchronous allocation calls.
  std::optional<DeviceAddress> allocate(int device, size_t bytes, std::string name = "",
                                        bool usable = true);
  void make_usable(DeviceAddress begin);
  /// Throws AccessError unless `address` is the beginning of an allocation.
  void free(DeviceAddress address);

  bool contains(DeviceAddress address) const { return address >= begin_ && address < end_; }
  /// The block that holds `address`.
  std::optional<HeapBlock> block(DeviceAddress address) const;
  /// Bytes, their place and their marks. Throws AccessError that names the allocation and how it is
  /// missed: beyond its end, after it was freed, before it came to be. REQUIRES: contains(address).
  Allocation find(DeviceAddress address, size_t bytes) const;
  /// As find, but of what is allocated now, whether usable already or not.
  void check_allocated(DeviceAddress address, size_t bytes) const;

  size_t capacity() const { return capacity_; }
  size_t used(int device) const;

  /// What is known of an address, in words, for a signal handler: takes no lock that it has to wait
  /// for.
  std::string describe(DeviceAddress address) const;

 private:
  struct Block {
    HeapBlock known;
    bool usable = true;
  };
  using Blocks = std::map<DeviceAddress, Block>;

  std::optional<DeviceAddress> place(size_t bytes);
  const Block* block_at(DeviceAddress address) const;
  const Block& checked(DeviceAddress address, size_t bytes) const;
  std::string missed(DeviceAddress address, size_t bytes) const;
  std::byte* host(DeviceAddress address) const;
  uint8_t* marks(DeviceAddress address) const;

  const size_t capacity_;
  size_t reserved_ = 0;
  DeviceAddress begin_ = 0;
  DeviceAddress end_ = 0;
  std::byte* bytes_ = nullptr;  // of begin_
  uint8_t* marks_ = nullptr;    // of begin_
  mutable std::shared_mutex mutex_;
  // Guarded by mutex_.
  Blocks blocks_;
  std::map<DeviceAddress, HeapBlock> freed_;  // the latest, at addresses of nobody else
  std::vector<size_t> used_;                  // by device
  DeviceAddress next_ = 0;
  uint64_t numbers_ = 0;
};

}  // namespace reformer::ptx
