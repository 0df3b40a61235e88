// Sums over the rows of each leaf, column by column: the partials of the gradients of biases and of
// layer norm's parameters.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/chunk.cuh"
#include "kernels/cuda/gradient.h"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {

inline constexpr int kColumnThreads = 128;

/// sums [Terms::kSums, leaves, blocks, width]. terms(row, column, count, sums) adds those of a
/// chunk.
template <typename Terms>
__global__ void __launch_bounds__(kColumnThreads)
    sum_columns(Terms terms, Leaves leaves, int64_t blocks, int64_t width, bool whole,
                float* sums) {
  constexpr int kChunk = Terms::kChunk;
  const int64_t leaf = blockIdx.x / blocks;
  const int64_t begin = leaves.begin(leaf) + (blockIdx.x - leaf * blocks) * kBlockRows;
  const int64_t end = min(begin + kBlockRows, leaves.end(leaf));
  const int64_t column = (int64_t{blockIdx.y} * kColumnThreads + threadIdx.x) * kChunk;
  if (begin >= end || column >= width) return;
  const int count = static_cast<int>(min(width - column, int64_t{kChunk}));
  float of_block[Terms::kSums][kChunk] = {};
#pragma unroll 4
  for (int64_t row = begin; row < end; ++row) {
    terms(row, column, count, whole, of_block);
  }
#pragma unroll
  for (int s = 0; s < Terms::kSums; ++s) {
    float* const to = sums + (int64_t{s} * gridDim.x + blockIdx.x) * width + column;
    store_chunk(to, count, whole, of_block[s]);
  }
}

/// Adds the sums of `terms` over the rows of each leaf to Terms::kSums gradients [width].
template <typename Terms>
void add_leaf_sums(Runtime& runtime, const TokenLayout& layout, int64_t width, const Terms& terms,
                   bool whole, const View (&gradients)[Terms::kSums], const GradientSum& sum) {
  const Leaves leaves(layout);
  if (leaves.count == 0) return;
  const int64_t blocks = divide_up(leaves.most_rows(), kBlockRows);
  const Workspace::Mark mark(runtime.workspace());
  const View sums =
      runtime.workspace().allocate(DType::kFloat32, {Terms::kSums, leaves.count * blocks, width});
  const dim3 grid(static_cast<uint32_t>(leaves.count * blocks),
                  static_cast<uint32_t>(divide_up(width, kColumnThreads * Terms::kChunk)));
  launch(runtime, sum_columns<Terms>, grid, dim3(kColumnThreads), 0, terms, leaves, blocks, width,
         whole, sums.data<float>());
  for (int s = 0; s < Terms::kSums; ++s) {
    add_partials(runtime,
                 {.values = sums.data<float>() + s * leaves.count * blocks * width,
                  .count = leaves.count,
                  .blocks = blocks,
                  .leaves = leaves},
                 gradients[s], sum);
  }
}

}  // namespace reformer::cuda
