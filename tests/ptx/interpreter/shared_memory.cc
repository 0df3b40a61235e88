#include "tests/ptx/interpreter/shared_memory.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

namespace reformer::ptx {
namespace {

constexpr std::size_t kAlignment = 1024;
constexpr std::size_t kSlack = 64;  // vectors of four cells may reach over the end
constexpr u32 kSeveral = 63;
constexpr u32 kLastInterval = (u32{1} << 26) - 2;

template <class F>
void for_each_lane(LaneMask lanes, F f) {
  for (; lanes != 0; lanes &= lanes - 1) f(std::countr_zero(lanes));
}

}  // namespace

void SharedMemory::reset(std::size_t bytes, const LaunchOptions& options) {
  size_ = std::max<std::size_t>(bytes, 1);
  if (storage_.size() < size_ + kAlignment) storage_.resize(size_ + kAlignment);
  const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
  data_ = storage_.data() + (kAlignment - address % kAlignment) % kAlignment;
  std::memset(data_, 0xff, size_);  // NaN, whatever the float type
  watch_races_ = options.shared_races;
  watch_lanes_ = options.lane_races;
  watch_unwritten_ = options.unwritten_shared;
  if (watch_races_ && writes_.size() < size_ + kSlack) {
    writes_.assign(size_ + kSlack, 0);
    reads_.assign(size_ + kSlack, 0);
  }
  if (watch_lanes_) {
    lane_writes_.assign(size_, 0);
    lane_reads_.assign(size_, 0);
  }
  if (watch_unwritten_) written_.assign(size_, 0);
  if (copies_ != 0) pending_.clear();
  copies_ = 0;
  pass_barrier();
}

void SharedMemory::pass_barrier() {
  if (++interval_ < kLastInterval) return;
  interval_ = 1;
  std::fill(writes_.begin(), writes_.end(), 0);
  std::fill(reads_.begin(), reads_.end(), 0);
}

std::optional<SharedMemory::Conflict> SharedMemory::observe(const Accesses& accesses) {
  if (copies_ != 0) {
    if (auto conflict = find_pending(accesses)) return conflict;
  }
  if (watch_unwritten_) {
    if (auto conflict = find_unwritten(accesses)) return conflict;
  }
  if (accesses.strong) return std::nullopt;
  if (watch_lanes_) {
    if (auto conflict = find_lane_race(accesses)) return conflict;
  }
  if (watch_races_) return find_race(accesses);
  return std::nullopt;
}

// Whether an access to one byte meets another warp's.
bool SharedMemory::races_at(const Accesses& accesses, u64 offset) const {
  const u32 own = interval_ << 6 | static_cast<u32>(accesses.warp + 1);
  const auto of_another = [&](u32 cell) { return cell >> 6 == interval_ && cell != own; };
  return of_another(writes_[offset]) ||
         (accesses.access == Access::kWrite && of_another(reads_[offset]));
}

std::optional<SharedMemory::Conflict> SharedMemory::find_race(const Accesses& accesses) {
  const bool writes = accesses.access == Access::kWrite;
  const u32 own = interval_ << 6 | static_cast<u32>(accesses.warp + 1);
  const __m128i interval = _mm_set1_epi32(static_cast<int>(interval_));
  const __m128i own_cells = _mm_set1_epi32(static_cast<int>(own));
  const __m128i several = _mm_set1_epi32(static_cast<int>(interval_ << 6 | kSeveral));
  const auto of_others = [&](__m128i cells) {
    return _mm_andnot_si128(_mm_cmpeq_epi32(cells, own_cells),
                            _mm_cmpeq_epi32(_mm_srli_epi32(cells, 6), interval));
  };
  LaneMask bad = 0;
  for_each_lane(accesses.lanes, [&](int lane) {
    const u64 begin = accesses.offsets[lane];
    const u64 end = begin + static_cast<u64>(accesses.bytes);
    for (u64 at = begin; at < end; at += 4) {
      const u64 count = std::min<u64>(4, end - at);
      if (count < 4) {  // one or two bytes
        for (u64 i = at; i < end; ++i) {
          if (races_at(accesses, i)) bad |= LaneMask{1} << lane;
          u32& cell = writes ? writes_[i] : reads_[i];
          cell = !writes && cell >> 6 == interval_ && cell != own ? interval_ << 6 | kSeveral : own;
        }
        return;
      }
      auto* write_cells = reinterpret_cast<__m128i*>(&writes_[at]);
      auto* read_cells = reinterpret_cast<__m128i*>(&reads_[at]);
      const __m128i other_writes = of_others(_mm_loadu_si128(write_cells));
      const __m128i other_reads = of_others(_mm_loadu_si128(read_cells));
      const __m128i other = writes ? _mm_or_si128(other_writes, other_reads) : other_writes;
      if (!_mm_testz_si128(other, other)) bad |= LaneMask{1} << lane;
      if (writes) {
        _mm_storeu_si128(write_cells, own_cells);
      } else {
        _mm_storeu_si128(read_cells, _mm_blendv_epi8(own_cells, several, other_reads));
      }
    }
  });
  if (bad == 0) return std::nullopt;
  return Conflict{std::countr_zero(bad),
                  std::string("shared-memory race: this ") + (writes ? "write" : "read") +
                      " and an access by another warp, with no barrier in between"};
}

std::optional<SharedMemory::Conflict> SharedMemory::find_lane_race(const Accesses& accesses) {
  const bool writes = accesses.access == Access::kWrite;
  const u64 warp = (u64{accesses.lane_epoch} << 6 | static_cast<u64>(accesses.warp)) << 6;
  LaneMask bad = 0;
  const auto for_bytes = [&](auto visit) {
    for_each_lane(accesses.lanes, [&](int lane) {
      const u64 own = warp | static_cast<u64>(lane + 1);
      for (int i = 0; i < accesses.bytes; ++i) {
        visit(lane, own, accesses.offsets[lane] + static_cast<u64>(i));
      }
    });
  };
  // What the lanes do in one and the same instruction is not compared.
  for_bytes([&](int lane, u64 own, u64 at) {
    const auto of_another = [&](u64 cell) { return cell >> 6 == own >> 6 && cell != own; };
    if (of_another(lane_writes_[at]) || (writes && of_another(lane_reads_[at]))) {
      bad |= LaneMask{1} << lane;
    }
  });
  for_bytes([&](int, u64 own, u64 at) {
    u64& cell = writes ? lane_writes_[at] : lane_reads_[at];
    cell = !writes && cell >> 6 == own >> 6 && cell != own ? warp | kSeveral : own;
  });
  if (bad == 0) return std::nullopt;
  return Conflict{std::countr_zero(bad),
                  std::string("shared-memory race: this ") + (writes ? "write" : "read") +
                      " and an access by another lane of the warp, with no __syncwarp in between"};
}

std::optional<SharedMemory::Conflict> SharedMemory::find_pending(const Accesses& accesses) const {
  LaneMask bad = 0;
  for_each_lane(accesses.lanes, [&](int lane) {
    for (int i = 0; i < accesses.bytes; ++i) {
      if (pending_[accesses.offsets[lane] + static_cast<u64>(i)] != 0) bad |= LaneMask{1} << lane;
    }
  });
  if (bad == 0) return std::nullopt;
  return Conflict{std::countr_zero(bad),
                  "shared memory that cp.async writes is accessed before cp.async.wait_group or "
                  "wait_all of the thread that copies"};
}

std::optional<SharedMemory::Conflict> SharedMemory::find_unwritten(const Accesses& accesses) {
  LaneMask bad = 0;
  for_each_lane(accesses.lanes, [&](int lane) {
    u8* bytes = &written_[accesses.offsets[lane]];
    if (accesses.access == Access::kWrite) {
      std::memset(bytes, 1, static_cast<std::size_t>(accesses.bytes));
    } else if (std::find(bytes, bytes + accesses.bytes, 0) != bytes + accesses.bytes) {
      bad |= LaneMask{1} << lane;
    }
  });
  if (bad == 0) return std::nullopt;
  return Conflict{std::countr_zero(bad), "read of shared memory that was never written"};
}

void SharedMemory::begin_copy(u32 offset, u32 bytes) {
  if (pending_.size() < size_) pending_.assign(size_, 0);
  ++copies_;
  for (u32 i = offset; i < offset + bytes; ++i) ++pending_[i];
}

void SharedMemory::end_copy(u32 offset, u32 bytes) {
  --copies_;
  for (u32 i = offset; i < offset + bytes; ++i) --pending_[i];
}

}  // namespace reformer::ptx
