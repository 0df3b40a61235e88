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

/// The lanes of one block: consecutive slots of one sample, head and round.
struct TileBlock {
  __device__ TileBlock(const SlotMap& slots, int round) {
    const int64_t length = slots.ring.length();
    const int64_t tiles = (length + kLanes - 1) / kLanes;
    const int64_t first = blockIdx.x % tiles * kLanes;
    sample_head = blockIdx.x / tiles;
    sample = sample_head / slots.pattern.heads;
    head = static_cast<int>(sample_head % slots.pattern.heads);
    begin = round * length + first;
    count = static_cast<int>(min(static_cast<int64_t>(kLanes), length - first));
  }

  static int64_t blocks(const AttentionArgs& args) {
    return args.layout.samples * args.pattern.heads * divide_up(args.layout.length, kLanes);
  }

  int64_t sample_head;
  int64_t sample;
  int head;
  int64_t begin;  // slots count through all rounds
  int count;
};

/// The vectors of the tokens of one sample and head in an activation [rows, H·D].
template <typename E>
struct TokenRows {
  __device__ TokenRows(const E* activation, const SlotMap& slots, const TileBlock& block,
                       bool all_whole)
      : width(static_cast<int>(slots.pattern.head_dim)),
        stride(slots.pattern.heads * slots.pattern.head_dim),
        base(activation + block.sample * slots.ring.length() * stride + block.head * width),
        whole(all_whole) {}

  /// Elements [column, column + kTokenChunk) of a token's vector; 0 beyond its end, and of
  /// kNoToken.
  __device__ void load_chunk(int32_t position, int column, float (&chunk)[kTokenChunk]) const {
    const int left = position == kNoToken ? 0 : width - column;
    cuda::load_chunk(base + position * stride + column, left, whole && left > 0, chunk);
  }

  int width;
  int64_t stride;
  const E* base;  // the vector of position 0
  bool whole;     // chunks are whole and aligned
};

/// A slice of the columns of both sides, transposed.
struct TileSlices {
  alignas(16) float lanes[kSlice][kLanes + 4];
  alignas(16) float panel[kSlice][kPanel + 4];
};

/// Rows as TokenRows has them, times scales[row] unless that is null, to [column, row].
template <int kRows, int kPitch, typename E>
__device__ void stage_slice(const TokenRows<E>& tokens, const int32_t* positions,
                            const float* scales, int first, float (*slice)[kPitch]) {
  constexpr int kChunks = kRows * kSlice / kTokenChunk;
  static_assert(kChunks % kTileThreads == 0);
  for (int i = static_cast<int>(threadIdx.x); i < kChunks; i += kTileThreads) {
    const int row = i % kRows;
    const int column = i / kRows * kTokenChunk;
    float chunk[kTokenChunk];
    tokens.load_chunk(positions[row], first + column, chunk);
    const float scale = scales == nullptr ? 1.0f : scales[row];
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

/// One vector for each row of a side, and its scales.
template <typename E>
struct SideVectors {
  TokenRows<E> tokens;
  const int32_t* positions;
  const float* scales;  // or null
};

/// Products of the vectors of both sides. The whole block calls it; the slices may still be read by
/// others before, and are afterwards.
template <typename E>
__device__ TileProducts multiply_sides(const SideVectors<E>& lanes, const SideVectors<E>& panel,
                                       TileSlices& slices) {
  TileProducts products;
  const int width = lanes.tokens.width;
  for (int first = 0; first < width; first += kSlice) {
    __syncthreads();
    stage_slice<kLanes>(lanes.tokens, lanes.positions, lanes.scales, first, slices.lanes);
    stage_slice<kPanel>(panel.tokens, panel.positions, panel.scales, first, slices.panel);
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
      side.tokens.load_chunk(side.positions[row], first + column, chunk);
      const float scale = side.scales == nullptr ? 1.0f : side.scales[row];
#pragma unroll
      for (int k = 0; k < kTokenChunk; k += 4) {
        *reinterpret_cast<float4*>(&value[row][column + k]) = make_float4(
            scale * chunk[k], scale * chunk[k + 1], scale * chunk[k + 2], scale * chunk[k + 3]);
      }
    }
  }
};

/// Sums for the tokens of one sample and head in a Float32 array [rows, H·D].
struct TokenSums {
  __device__ TokenSums(float* sums, const SlotMap& slots, const TileBlock& block, bool all_whole)
      : width(static_cast<int>(slots.pattern.head_dim)),
        stride(slots.pattern.heads * slots.pattern.head_dim),
        base(sums + block.sample * slots.ring.length() * stride + block.head * width),
        whole(all_whole) {}

  int width;
  int64_t stride;
  float* base;  // of position 0
  bool whole;   // groups of 4 columns are whole and aligned
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

  /// Adds what `sums` has for the lanes in columns from `first` on.
  __device__ void load(const TokenSums& sums, const int32_t* positions, int first) {
    for_groups(sums, positions, first, [&](const float* from, int left, float* group) {
      if (sums.whole) {
        const float4 loaded = *reinterpret_cast<const float4*>(from);
        group[0] += loaded.x;
        group[1] += loaded.y;
        group[2] += loaded.z;
        group[3] += loaded.w;
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) group[j] += j < left ? from[j] : 0.0f;
      }
    });
  }

  __device__ void store(const TokenSums& sums, const int32_t* positions, int first) {
    for_groups(sums, positions, first, [&](float* to, int left, const float* group) {
      if (sums.whole) {
        *reinterpret_cast<float4*>(to) = make_float4(group[0], group[1], group[2], group[3]);
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (j < left) to[j] = group[j];
        }
      }
    });
  }

 private:
  /// body(address of a group's first column, columns left from there, group) for all groups.
  template <typename Body>
  __device__ void for_groups(const TokenSums& sums, const int32_t* positions, int first,
                             const Body& body) {
    const int lane = TileProducts::first_lane();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int32_t position = positions[lane + i];
      if (position == kNoToken) continue;
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const int left = sums.width - first - column(group);
        if (left <= 0) continue;
        body(sums.base + position * sums.stride + first + column(group), left,
             &value[i][4 * group]);
      }
    }
  }
};

}  // namespace reformer::cuda::simt
