#include "tests/ptx/runtime/host_ranges.h"

#include <cstring>
#include <iterator>
#include <mutex>

#include <sys/mman.h>

namespace reformer::ptx {
namespace {

constexpr size_t kPageBytes = 4096;

size_t pages_of(size_t bytes) {
  return (bytes / kPageBytes + 1) * kPageBytes;
}

}  // namespace

std::byte* HostRanges::allocate(size_t bytes, HostKind kind) {
  void* const memory = mmap(nullptr, pages_of(bytes), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  std::memset(memory, 0xff, bytes);
  add({.begin = static_cast<std::byte*>(memory), .bytes = bytes, .kind = kind});
  return static_cast<std::byte*>(memory);
}

bool HostRanges::add(const HostRange& range) {
  const std::unique_lock lock(mutex_);
  const auto begin = reinterpret_cast<uintptr_t>(range.begin);
  const auto above = ranges_.lower_bound(begin);
  if (above != ranges_.end() && above->first - begin < range.bytes) return false;
  if (above != ranges_.begin()) {
    const auto& [below_begin, below] = *std::prev(above);
    if (begin - below_begin < below.bytes) return false;
  }
  ranges_[begin] = range;
  return true;
}

bool HostRanges::remove(const void* begin, HostKind kind) {
  const std::unique_lock lock(mutex_);
  const auto found = ranges_.find(reinterpret_cast<uintptr_t>(begin));
  if (found == ranges_.end() || found->second.kind != kind) return false;
  // Nobody gets this memory again unasked: whoever still uses it dies.
  if (kind != HostKind::kRegistered) munmap(found->second.begin, pages_of(found->second.bytes));
  ranges_.erase(found);
  return true;
}

std::optional<HostRange> HostRanges::find(const void* at) const {
  const std::shared_lock lock(mutex_);
  const auto address = reinterpret_cast<uintptr_t>(at);
  const auto above = ranges_.upper_bound(address);
  if (above == ranges_.begin()) return std::nullopt;
  const auto& [begin, range] = *std::prev(above);
  if (address - begin >= range.bytes) return std::nullopt;
  return range;
}

}  // namespace reformer::ptx
