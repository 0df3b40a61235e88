// The shared memory of a block, and what is known about each of its bytes: who accessed it since
// the last barrier, whether it was ever written, and whether an asynchronous copy is on its way to
// it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "tests/ptx/interpreter/interpreter.h"
#include "tests/ptx/interpreter/program.h"
#include "tests/ptx/interpreter/types.h"

namespace reformer::ptx {

class SharedMemory {
 public:
  struct Conflict {
    int lane;
    std::string reason;
  };
  // One instruction's access by lanes of a warp to `bytes` bytes each, from offsets[lane] on.
  struct Accesses {
    int warp;
    u32 lane_epoch;  // of the warp: how often its lanes have synchronised
    LaneMask lanes;
    const u64* offsets;
    int bytes;
    Access access;
    bool strong;  // takes no part in races
  };

  void reset(std::size_t bytes, const LaunchOptions& options);

  std::byte* data() { return data_; }
  std::size_t size() const { return size_; }

  // Takes note of an access within the memory's bounds, and says what is wrong with it.
  std::optional<Conflict> observe(const Accesses& accesses);
  void pass_barrier();

  // An asynchronous copy to these bytes has begun, or has landed.
  void begin_copy(u32 offset, u32 bytes);
  void end_copy(u32 offset, u32 bytes);

 private:
  std::optional<Conflict> find_race(const Accesses& accesses);
  std::optional<Conflict> find_lane_race(const Accesses& accesses);
  std::optional<Conflict> find_pending(const Accesses& accesses) const;
  std::optional<Conflict> find_unwritten(const Accesses& accesses);
  bool races_at(const Accesses& accesses, u64 offset) const;

  std::vector<std::byte> storage_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool watch_races_ = false;
  bool watch_lanes_ = false;
  bool watch_unwritten_ = false;
  // For each byte, of its last write and of its reads: interval · 64 + warp + 1, the warp 63 for
  // several of them. What is older than the current interval counts as nothing.
  std::vector<u32> writes_;
  std::vector<u32> reads_;
  u32 interval_ = 1;
  // Likewise of lanes: (lane epoch · 64 + warp) · 64 + lane + 1.
  std::vector<u64> lane_writes_;
  std::vector<u64> lane_reads_;
  std::vector<u8> written_;
  std::vector<u8> pending_;  // copies on their way
  u32 copies_ = 0;           // all of them
};

}  // namespace reformer::ptx
