// The tiles of the SIMT attention kernels, and their products.
//
// A block owns kLanes rows of one side, the *lanes* (queries in the forward pass), and walks
// through the other side in *panels* of kPanel rows, in slot order. Every sum over the other side
// is taken one by one in that order, so the result for one lane depends neither on its neighbours
// nor on where panels begin, and rows that a lane does not see have weight 0 and leave its bits
// alone.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_slots.cuh"
#include "kernels/cuda/chunk.cuh"
#include "kernels/cuda/primitives.cuh"

namespace reformer::cuda::simt {

inline constexpr int kTileThreads = 128;
inline constexpr int kLanes = 64;
inline constexpr int kPanel = 32;
/// Columns of the vectors that are multiplied at a time.
inline constexpr int kSlice = 32;
/// A thread has 4 lanes; of products of both sides 4 rows of the panel as well.
inline constexpr int kLaneThreads = kLanes / 4;
static_assert(kTileThreads / kLaneThreads * 4 == kPanel);
inline constexpr int kTokenChunk = kChunk<__nv_bfloat16>;

/// The lanes of one block: consecutive slots of one pair and round. Grid (blocks of slots, pairs,
/// rounds of each group of columns).
struct TileBlock {
  __device__ TileBlock(const SlotTables& tables, int head_dim)
      : place(tables, head_dim, static_cast<int>(blockIdx.z) % tables.rounds),
        columns(static_cast<int>(blockIdx.z) / tables.rounds),
        begin(tables.own_begin + static_cast<int>(blockIdx.x) * kLanes),
        count(min(kLanes, tables.own_end - begin)) {}

  PairPlace place;
  int columns;  // which group of them
  int begin;
  int count;
};

/// The vectors of the tokens of one pair in an activation [rows, H·D].
template <typename E>
struct TokenRows {
  __device__ TokenRows(const E* activation, int head_dim, const PairPlace& place, bool all_whole)
      : width(head_dim),
        stride(place.stride),
        base(activation + place.activation),
        whole(all_whole) {}

  /// Elements [column, column + kTokenChunk) of a token's vector; 0 beyond its end, and of
  /// kNoToken.
  __device__ void load_chunk(int32_t token, int column, float (&chunk)[kTokenChunk]) const {
    const int left = token == kNoToken ? 0 : width - column;
    cuda::load_chunk(base + token * stride + column, left, whole && left > 0, chunk);
  }

  int width;
  int64_t stride;
  const E* base;  // the vector of row 0
  bool whole;     // chunks are whole and aligned
};

/// A slice of the columns of both sides, transposed.
struct TileSlices {
  alignas(16) float lanes[kSlice][kLanes + 4];
  alignas(16) float panel[kSlice][kPanel + 4];
};

/// One vector for each row of a side, and its scales.
template <typename E>
struct SideVectors {
  TokenRows<E> rows;
  const int32_t* tokens;
  const float* scales;  // or null
};

/// Columns from `first` on, times the scale, to [column, row].
template <int kRows, int kPitch, typename E>
__device__ void stage_slice(const SideVectors<E>& side, int first, float (*slice)[kPitch]) {
  constexpr int kChunks = kRows * kSlice / kTokenChunk;
  static_assert(kChunks % kTileThreads == 0);
  for (int i = static_cast<int>(threadIdx.x); i < kChunks; i += kTileThreads) {
    const int row = i % kRows;
    const int column = i / kRows * kTokenChunk;
    float chunk[kTokenChunk];
    side.rows.load_chunk(side.tokens[row], first + column, chunk);
    const float scale = side.scales == nullptr ? 1.0f : side.scales[row];
#pragma unroll
    for (int k = 0; k < kTokenChunk; ++k) slice[column + k][row] = scale * chunk[k];
  }
}

/// A thread's part of the products of both sides.
struct TileProducts {
  float value[4][4] = {};  // [row of the panel, lane]

  __device__ static int first_lane() { return static_cast<int>(threadIdx.x) % kLaneThreads * 4; }
  __device__ static int first_row() { return static_cast<int>(threadIdx.x) / kLaneThreads * 4; }

  __device__ void add(const TileSlices& slices, int columns) {
    const int lane = first_lane();
    const int row = first_row();
#pragma unroll 4
    for (int c = 0; c < columns; ++c) {
      const float4 x = *reinterpret_cast<const float4*>(&slices.lanes[c][lane]);
      const float4 y = *reinterpret_cast<const float4*>(&slices.panel[c][row]);
      const float lanes[4] = {x.x, x.y, x.z, x.w};
      const float rows[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) value[i][j] = __fmaf_rn(rows[i], lanes[j], value[i][j]);
      }
    }
  }
};

/// Products of the vectors of both sides. The whole block calls it; the slices may still be read by
/// others before, and are afterwards.
template <typename E>
__device__ TileProducts multiply_sides(const SideVectors<E>& lanes, const SideVectors<E>& panel,
                                       TileSlices& slices) {
  TileProducts products;
  const int width = lanes.rows.width;
  for (int first = 0; first < width; first += kSlice) {
    __syncthreads();
    stage_slice<kLanes>(lanes, first, slices.lanes);
    stage_slice<kPanel>(panel, first, slices.panel);
    __syncthreads();
    products.add(slices, min(kSlice, width - first));
  }
  return products;
}

/// One number for each pair of a panel and the lanes.
struct TileWeights {
  alignas(16) float value[kPanel][kLanes + 4];

  /// The four lanes of a thread in one row.
  __device__ float4& lanes(int row, int first_lane) {
    return *reinterpret_cast<float4*>(&value[row][first_lane]);
  }
  __device__ const float4& lanes(int row, int first_lane) const {
    return *reinterpret_cast<const float4*>(&value[row][first_lane]);
  }
};

/// kWidth columns of the panel's vectors.
template <int kWidth>
struct TileVectors {
  alignas(16) float value[kPanel][kWidth];

  /// Columns [first, first + kWidth).
  template <typename E>
  __device__ void stage(const SideVectors<E>& side, int first) {
    constexpr int kChunksOfRow = kWidth / kTokenChunk;
#pragma unroll 2
    for (int i = static_cast<int>(threadIdx.x); i < kPanel * kChunksOfRow; i += kTileThreads) {
      const int row = i / kChunksOfRow;
      const int column = i % kChunksOfRow * kTokenChunk;
      float chunk[kTokenChunk];
      side.rows.load_chunk(side.tokens[row], first + column, chunk);
      const float scale = side.scales == nullptr ? 1.0f : side.scales[row];
#pragma unroll
      for (int k = 0; k < kTokenChunk; k += 4) {
        *reinterpret_cast<float4*>(&value[row][column + k]) = make_float4(
            scale * chunk[k], scale * chunk[k + 1], scale * chunk[k + 2], scale * chunk[k + 3]);
      }
    }
  }
};

/// A thread's part of kWidth columns of sums for the lanes.
template <int kWidth>
struct LaneSums {
  static constexpr int kGroups = kWidth / 32;
  float value[4][4 * kGroups] = {};

  /// Of group g, within the kWidth columns.
  __device__ static int column(int group) {
    return 32 * group + static_cast<int>(threadIdx.x) / kLaneThreads * 4;
  }

  /// += Σ weight · vector over the first `rows` rows of the panel. weight_of(w) is applied to each.
  template <typename F>
  __device__ void add(const TileWeights& weights, const TileVectors<kWidth>& vectors, int rows,
                      const F& weight_of) {
    const int lane = TileProducts::first_lane();
#pragma unroll 2
    for (int row = 0; row < rows; ++row) {
      const float4 w = weights.lanes(row, lane);
      const float lanes[4] = {weight_of(0, w.x), weight_of(1, w.y), weight_of(2, w.z),
                              weight_of(3, w.w)};
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const float4 v = *reinterpret_cast<const float4*>(&vectors.value[row][column(group)]);
        const float columns[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            float& sum = value[i][4 * group + j];
            sum = __fmaf_rn(lanes[i], columns[j], sum);
          }
        }
      }
    }
  }

  /// Writes columns from `first` on of the results of a block, [pairs, R, own, width]. `whole`:
  /// groups of 4 columns are whole and aligned.
  __device__ void store(float* results, int width, const TileBlock& block, int first,
                        bool whole) const {
    const int lane = TileProducts::first_lane();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (lane + i >= block.count) continue;
      float* const result = results + (block.place.results + block.begin + lane + i) * width;
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const int at = first + column(group);
        const float* const sums = &value[i][4 * group];
        if (whole && at < width) {
          *reinterpret_cast<float4*>(result + at) = make_float4(sums[0], sums[1], sums[2], sums[3]);
        }
#pragma unroll
        for (int j = 0; j < 4 && !whole; ++j) {
          if (at + j < width) result[at + j] = sums[j];
        }
      }
    }
  }
};

}  // namespace reformer::cuda::simt
