// Rows that a warp adds up in the registers of its lanes: 16 rows of D, as C fragments side by
// side. `row` is which of the two rows of a lane.
#pragma once

#include <cstdint>

#include "kernels/cuda/mma.cuh"

namespace reformer::cuda {

template <int D>
using RowSums = float[D / 8][4];

/// sums += weights · (rows [first, first + 16) of a tile)
template <int D>
__device__ __forceinline__ void add_product(RowSums<D>& sums, const uint32_t (&weights)[4],
                                            uint32_t tile, int first) {
#pragma unroll
  for (int n = 0; n < D / 16; ++n) {
    uint32_t b[4];
    SharedTile<D>::load_b(b, tile, first, n);
    multiply_add(sums[2 * n], weights, b[0], b[1]);
    multiply_add(sums[2 * n + 1], weights, b[2], b[3]);
  }
}

template <int D>
__device__ __forceinline__ void clear_rows(RowSums<D>& sums) {
#pragma unroll
  for (int n = 0; n < D / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[n][i] = 0;
  }
}

/// Multiplies the first and the second row.
template <int D>
__device__ __forceinline__ void scale_rows(float first, float second, RowSums<D>& sums) {
#pragma unroll
  for (int n = 0; n < D / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[n][i] *= i < 2 ? first : second;
  }
}

/// Adds row `tile_row` of a tile.
template <int D>
__device__ __forceinline__ void add_row(uint32_t tile, int tile_row, int row, RowSums<D>& sums) {
#pragma unroll
  for (int n = 0; n < D / 8; ++n) {
    const uint32_t pair = SharedTile<D>::pair(tile, tile_row, n);
    sums[n][2 * row] += lower_half(pair);
    sums[n][2 * row + 1] += upper_half(pair);
  }
}

/// Adds a row in global memory.
template <int D>
__device__ __forceinline__ void add_row(const float* from, int row, RowSums<D>& sums) {
#pragma unroll
  for (int n = 0; n < D / 8; ++n) {
    const float2 pair = *reinterpret_cast<const float2*>(from + lane_column(n));
    sums[n][2 * row] += pair.x;
    sums[n][2 * row + 1] += pair.y;
  }
}

template <int D>
__device__ __forceinline__ void store_row(const RowSums<D>& sums, int row, float* to) {
#pragma unroll
  for (int n = 0; n < D / 8; ++n) {
    *reinterpret_cast<float2*>(to + lane_column(n)) =
        make_float2(sums[n][2 * row], sums[n][2 * row + 1]);
  }
}

template <int D>
__device__ __forceinline__ void store_row(const RowSums<D>& sums, int row, __nv_bfloat16* to) {
#pragma unroll
  for (int n = 0; n < D / 8; ++n) {
    *reinterpret_cast<__nv_bfloat162*>(to + lane_column(n)) =
        __floats2bfloat162_rn(sums[n][2 * row], sums[n][2 * row + 1]);
  }
}

/// The gradient of k̂ = k / ‖k‖ becomes that of k, g = (g − k̂ (k̂·g)) / ‖k‖. The key is row
/// `tile_row` of a tile, and `scale` is 1 / ‖k‖.
template <int D>
__device__ __forceinline__ void project_row(uint32_t tile, int tile_row, float scale, int row,
                                            RowSums<D>& sums) {
  float dot = 0;
#pragma unroll
  for (int n = 0; n < D / 8; ++n) {
    const uint32_t pair = SharedTile<D>::pair(tile, tile_row, n);
    dot += lower_half(pair) * sums[n][2 * row];
    dot += upper_half(pair) * sums[n][2 * row + 1];
  }
  dot = quad_sum(dot) * scale * scale;
#pragma unroll
  for (int n = 0; n < D / 8; ++n) {
    const uint32_t pair = SharedTile<D>::pair(tile, tile_row, n);
    sums[n][2 * row] = scale * (sums[n][2 * row] - lower_half(pair) * dot);
    sums[n][2 * row + 1] = scale * (sums[n][2 * row + 1] - upper_half(pair) * dot);
  }
}

}  // namespace reformer::cuda
