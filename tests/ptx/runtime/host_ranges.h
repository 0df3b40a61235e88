// Host memory that the program has told the runtime of: pinned, registered, or managed. Devices may
// access it at the addresses that the host uses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <shared_mutex>

namespace reformer::ptx {

enum class HostKind : uint8_t {
  kPinned,      // ours: cudaMallocHost, cudaHostAlloc
  kManaged,     // ours: cudaMallocManaged
  kRegistered,  // the program's: cudaHostRegister
};

struct HostRange {
  std::byte* begin = nullptr;
  size_t bytes = 0;
  HostKind kind = HostKind::kPinned;
};

/// Safe to call from any thread.
class HostRanges {
 public:
  /// Aligned to a page and filled with NaN. Null when there is no memory.
  std::byte* allocate(size_t bytes, HostKind kind);
  /// False when it overlaps a known range.
  bool add(const HostRange& range);
  /// Frees what allocate() gave. False when no range of this kind begins there.
  bool remove(const void* begin, HostKind kind);

  /// The range that holds `at`.
  std::optional<HostRange> find(const void* at) const;

 private:
  mutable std::shared_mutex mutex_;
  std::map<uintptr_t, HostRange> ranges_;
};

}  // namespace reformer::ptx
