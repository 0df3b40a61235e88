#include <algorithm>

#include "kernels/cuda/chunk.cuh"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/gradient.h"
#include "kernels/cuda/runtime.h"

namespace reformer::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kChunkOfPartials = kChunk<float>;

/// The partial of a leaf, from the sums of its blocks.
__device__ void load_partial(const LeafPartials& partials, int64_t leaf, int64_t n, int64_t at,
                             int count, bool whole, float (&values)[kChunkOfPartials]) {
  const float* from = partials.values + leaf * partials.blocks * n + at;
  load_chunk(from, count, whole, values);
  if (partials.blocks == 1) return;
  const Leaves& leaves = partials.leaves;
  const int64_t rows = leaves.end(leaf) - leaves.begin(leaf);
#pragma unroll 4
  for (int64_t row = kBlockRows; row < rows; row += kBlockRows) {
    from += n;
    float block[kChunkOfPartials];
    load_chunk(from, count, whole, block);
#pragma unroll
    for (int i = 0; i < kChunkOfPartials; ++i) values[i] += block[i];
  }
}

/// Leaves blockIdx.y, blockIdx.y + gridDim.y, …: their terms may come in any order.
__device__ void add_leaves(const LeafPartials& partials, int64_t n, int64_t at, int count,
                           bool whole, int64_t* gradient, const SumLimit& limit) {
  long long terms[kChunkOfPartials] = {};
  int overflowed = 0;
  for (int64_t leaf = blockIdx.y; leaf < partials.count; leaf += gridDim.y) {
    float values[kChunkOfPartials];
    load_partial(partials, leaf, n, at, count, whole, values);
#pragma unroll
    for (int i = 0; i < kChunkOfPartials; ++i) {
      bool fault = false;
      terms[i] += to_sum_term(static_cast<double>(values[i]), limit.limit, &fault);
      overflowed += fault ? 1 : 0;
    }
  }
#pragma unroll
  for (int i = 0; i < kChunkOfPartials; ++i) {
    if (i < count && terms[i] != 0) add_atomically(gradient + at + i, terms[i]);
  }
  count_faults(overflowed, limit.faults, kSumOverflowed);
}

__device__ void add_leaves(const LeafPartials& partials, int64_t n, int64_t at, int count,
                           bool whole, float* gradient, const SumLimit&) {
  const bool whole_gradient = whole && reinterpret_cast<uintptr_t>(gradient) % 16 == 0;
  float sum[kChunkOfPartials];
  load_chunk(gradient + at, count, whole_gradient, sum);
  for (int64_t leaf = 0; leaf < partials.count; ++leaf) {
    float values[kChunkOfPartials];
    load_partial(partials, leaf, n, at, count, whole, values);
#pragma unroll
    for (int i = 0; i < kChunkOfPartials; ++i) sum[i] += values[i];
  }
  store_chunk(gradient + at, count, whole_gradient, sum);
}

template <typename Gradient>
__global__ void __launch_bounds__(kThreads)
    add_partials_kernel(LeafPartials partials, int64_t n, bool whole, Gradient* gradient,
                        SumLimit limit) {
  const int64_t at = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kChunkOfPartials;
  if (at >= n) return;
  const int count = static_cast<int>(min(n - at, int64_t{kChunkOfPartials}));
  add_leaves(partials, n, at, count, whole, gradient, limit);
}

/// The terms of dbias.
template <typename T>
struct Elements {
  static constexpr int kChunk = cuda::kChunk<T>;
  static constexpr int kSums = 1;

  __device__ void operator()(int64_t row, int64_t column, int count, bool whole,
                             float (&sums)[kSums][kChunk]) const {
    float values[kChunk];
    load_chunk(rows + row * width + column, count, whole, values);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) sums[0][i] += values[i];
  }

  const T* rows;
  int64_t width;
};

}  // namespace

void add_partials(Runtime& runtime, const LeafPartials& partials, const View& gradient,
                  const GradientSum& sum) {
  const int64_t n = gradient.elements();
  const int64_t blocks = divide_up(n, kThreads * kChunkOfPartials);
  const bool whole = whole_chunks(n, kChunkOfPartials, {partials.values});
  // Enough of them to fill the device where a gradient is small.
  constexpr int64_t kBlocksPerMultiprocessor = 8;
  const int64_t wanted = divide_up(kBlocksPerMultiprocessor * runtime.multiprocessors(), blocks);
  with_gradient(gradient, [&](auto* sums) {
    using Gradient = std::remove_pointer_t<decltype(sums)>;
    const bool any_order = std::is_same_v<Gradient, int64_t>;
    const dim3 grid(static_cast<uint32_t>(blocks),
                    static_cast<uint32_t>(any_order ? std::min(partials.count, wanted) : 1));
    launch(runtime, add_partials_kernel<Gradient>, grid, dim3(kThreads), 0, partials, n, whole,
           sums, SumLimit(sum));
  });
}

void add_column_sums(Runtime& runtime, const TokenLayout& layout, const View& rows,
                     const View& gradient, const GradientSum& sum) {
  const int64_t width = rows.shape()[1];
  with_element_type(rows.dtype(), [&](auto element) {
    using T = decltype(element);
    const Elements<T> terms{rows.data<T>(), width};
    add_leaf_sums(runtime, layout, width, terms, whole_chunks(width, terms.kChunk, {rows.raw()}),
                  {gradient}, sum);
  });
}

}  // namespace reformer::cuda
