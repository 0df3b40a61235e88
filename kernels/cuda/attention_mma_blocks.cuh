// The blocks of the tensor-core kernels of attention: 64 slots each, 16 for each of four warps, and
// the tiles of other slots that pass by, gathered in two stages.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_mma_pairs.cuh"

namespace reformer::cuda {

inline constexpr int kBlockWarps = 4;
inline constexpr int kBlockThreads = kBlockWarps * kWarp;

/// Arguments of both passes. Activations are [rows, H·D].
struct AttentionBlockArgs {
  SlotTables tables;
  PairRules rules;
  bool shared_query_key = true;
  const __nv_bfloat16* query = nullptr;
  const __nv_bfloat16* key = nullptr;  // = query if shared
  const __nv_bfloat16* value = nullptr;
  const float* key_scale = nullptr;  // numbers
  bool is_part = false;              // each round by itself; else they add up
  int round = 0;                     // one launch for each, in order
  int rounds = 1;
};

// ---- tiles that pass by ----------------------------------------------------------------------

/// Tiles of kRows slots that cover a range, in ascending order, without those that the block has
/// itself.
class TileWalk {
 public:
  /// Tiles are numbered from slot 0 of the round. Tiles [own, own_end) are left out.
  __device__ __forceinline__ TileWalk(int2 slots, int rows, int own, int own_end) {
    lowest_ = floor_divide(slots.x, rows);
    const int end = slots.x < slots.y ? floor_divide(slots.y - 1, rows) + 1 : lowest_;
    below_ = own < own_end ? max(0, min(end, own) - lowest_) : end - lowest_;
    resume_ = max(own_end, lowest_ + below_);
    count_ = below_ + max(0, end - resume_);
  }

  __device__ __forceinline__ int count() const { return count_; }
  __device__ __forceinline__ int tile(int step) const {
    return step < below_ ? lowest_ + step : resume_ + step - below_;
  }

 private:
  /// Slots may be negative.
  static __device__ __forceinline__ int floor_divide(int a, int b) {
    return a >= 0 ? a / b : -((b - 1 - a) / b);
  }

  int lowest_;
  int below_;
  int resume_;
  int count_;
};

/// In place of a row that nobody needs. Like the complement of a row, it is negative.
inline constexpr int kNoRow = INT_MIN;

/// Gathers rows of an activation into a tile of kRows. Each warp has kRows / 4 of them: lane l
/// knows which one its row l is, negative for zeros.
template <int D, int kRows>
__device__ __forceinline__ void gather_tile(uint32_t tile, const __nv_bfloat16* first,
                                            size_t stride, int row_of_lane) {
  using Tile = SharedTile<D>;
  constexpr int kWarpRows = kRows / kBlockWarps;
  const int lane = threadIdx.x % kWarp;
  const int warp_row = threadIdx.x / kWarp * kWarpRows;
#pragma unroll 2  // unrolled more, its addresses cost the backward pass its last registers
  for (int i = lane; i < kWarpRows * Tile::kPieces; i += kWarp) {
    const int row = i / Tile::kPieces;
    const int piece = i % Tile::kPieces;
    const int from = __shfl_sync(kFullWarp, row_of_lane, row);
    const __nv_bfloat16* source = first + (from < 0 ? 0 : from * stride + piece * 8);
    copy_async_16(Tile::at(tile, warp_row + row, piece), source, from >= 0);
  }
}

__device__ __forceinline__ bool contains(int2 range, int slot) {
  return range.x <= slot && slot < range.y;
}

// ---- reductions of ranges --------------------------------------------------------------------

/// The ranges of 16 rows: [low, high) holds all, [low_of_all, high_of_all) is in all of them.
struct WarpRange {
  /// `sixteen` in shared memory.
  __device__ __forceinline__ explicit WarpRange(const int2* sixteen) {
    const int2 range = sixteen[threadIdx.x % kSubBlock];
    low = __reduce_min_sync(kFullWarp, range.x);
    high = __reduce_max_sync(kFullWarp, range.y);
    low_of_all = __reduce_max_sync(kFullWarp, range.x);
    high_of_all = __reduce_min_sync(kFullWarp, range.y);
  }

  /// None of the slots [begin, begin + 16) is in any of the ranges.
  __device__ __forceinline__ bool misses(int begin) const {
    return begin + kSubBlock <= low || begin >= high;
  }
  /// All of them are in all ranges.
  __device__ __forceinline__ bool covers(int begin) const {
    return begin >= low_of_all && begin + kSubBlock <= high_of_all;
  }

  int low;
  int high;
  int low_of_all;
  int high_of_all;
};

/// The hull of 64 ranges in shared memory, on every thread.
__device__ __forceinline__ int2 hull_of_block(const int2* ranges) {
  const int lane = threadIdx.x % kWarp;
  const int2 a = ranges[lane];
  const int2 b = ranges[lane + kWarp];
  return make_int2(__reduce_min_sync(kFullWarp, min(a.x, b.x)),
                   __reduce_max_sync(kFullWarp, max(a.y, b.y)));
}

// ---- memory ----------------------------------------------------------------------------------

/// Hands out shared memory. Made with null, it only counts.
class SharedCarver {
 public:
  constexpr explicit SharedCarver(std::byte* begin) : begin_(begin) {}

  template <typename T>
  constexpr T* take(int count) {
    std::byte* const piece = begin_ + used_;
    const int bytes = count * static_cast<int>(sizeof(T));
    used_ += (bytes + kTileAlignment - 1) / kTileAlignment * kTileAlignment;
    return reinterpret_cast<T*>(piece);
  }
  constexpr int used() const { return used_; }

 private:
  std::byte* begin_;
  int used_ = 0;
};

}  // namespace reformer::cuda
