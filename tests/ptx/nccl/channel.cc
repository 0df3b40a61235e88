#include "tests/ptx/nccl/channel.h"

#include <algorithm>
#include <cstring>

namespace reformer::ptx::nccl {

size_t Channel::write(const void* bytes, size_t count) {
  const uint64_t begin = written.load(std::memory_order_relaxed);
  const uint64_t room = kCapacity - (begin - taken.load(std::memory_order_acquire));
  count = std::min<size_t>(count, room);
  const size_t at = begin % kCapacity;
  const size_t before_end = std::min<size_t>(count, kCapacity - at);
  const auto* const from = static_cast<const std::byte*>(bytes);
  if (before_end > 0) std::memcpy(ring + at, from, before_end);
  if (count > before_end) std::memcpy(ring, from + before_end, count - before_end);
  written.store(begin + count, std::memory_order_release);
  return count;
}

size_t Channel::read(void* bytes, size_t count) {
  const uint64_t begin = taken.load(std::memory_order_relaxed);
  const uint64_t there = written.load(std::memory_order_acquire) - begin;
  count = std::min<size_t>(count, there);
  const size_t at = begin % kCapacity;
  const size_t before_end = std::min<size_t>(count, kCapacity - at);
  auto* const to = static_cast<std::byte*>(bytes);
  if (before_end > 0) std::memcpy(to, ring + at, before_end);
  if (count > before_end) std::memcpy(to + before_end, ring, count - before_end);
  taken.store(begin + count, std::memory_order_release);
  return count;
}

}  // namespace reformer::ptx::nccl
