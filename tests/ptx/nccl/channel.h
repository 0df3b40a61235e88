// A ring of bytes in shared memory, from one rank to another.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace reformer::ptx::nccl {

/// One process writes, another one reads; neither waits. Zero-filled memory is an empty channel.
struct Channel {
  static constexpr uint64_t kCapacity = uint64_t{1} << 17;

  /// Takes as many of the bytes as there is room for; returns how many.
  size_t write(const void* bytes, size_t count);
  /// Gives as many bytes as there are, at most `count`; returns how many.
  size_t read(void* bytes, size_t count);

  alignas(64) std::atomic<uint64_t> written;  // bytes since the beginning
  alignas(64) std::atomic<uint64_t> taken;
  alignas(64) std::byte ring[kCapacity];
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace reformer::ptx::nccl
