// LSH hashing: the product with the rotations and the argmax over its columns in one kernel, so
// that no projection is ever in memory.
#include <algorithm>
#include <cmath>

#include "kernels/cuda/chunk.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/rows.h"
#include "kernels/lsh_layout.h"

namespace reformer::cuda {
namespace {

constexpr int kThreads = 128;
/// A block hashes this many tokens, projected on this many columns at a time.
constexpr int kTokens = 64;
constexpr int kColumns = 64;
constexpr int kDepth = 32;
constexpr int kChunkElements = kChunk<__nv_bfloat16>;
/// A thread has 4 tokens and 2 groups of 4 columns.
constexpr int kColumnThreads = 8;
constexpr int kColumnGroups = 2;
constexpr int kGroupStep = kColumns / kColumnGroups;

/// All factors are even and their product is below 2^31.
constexpr int kMostFactors = 30;

template <typename E>
struct HashTask {
  const E* query_key;      // [rows, H·D]
  const float* rotations;  // [H, D, R·columns]
  const uint8_t* mask;     // [B, T] or null
  int32_t* bucket_of;      // [B, H, R, T]
  int64_t length;
  int64_t token_blocks;  // of one sample
  int heads;
  int rounds;
  int head_dim;
  int columns;        // of one round
  bool whole_chunks;  // of query_key
  int32_t masked_bucket;
  int factors;
  int32_t factor[kMostFactors];
};

/// The tokens, head and round of one block.
struct HashBlock {
  int64_t sample;
  int64_t first_token;
  int head;
  int round;
  int tokens;
};

/// The slices of both operands, [depth, row].
struct Slices {
  alignas(16) float tokens[kDepth][kTokens + 4];
  alignas(16) float rotation[kDepth][kColumns];
};

/// Largest and smallest projection so far, and the first columns that have them.
struct Extremes {
  float most = -INFINITY;
  float least = INFINITY;
  int32_t most_at = 0;
  int32_t least_at = 0;

  __device__ void see(float value, int32_t column) {
    if (value > most) {
      most = value;
      most_at = column;
    }
    if (value < least) {
      least = value;
      least_at = column;
    }
  }

  /// Merges those of `distance` lanes away.
  __device__ void merge(int distance) {
    const float other_most = __shfl_xor_sync(kFullWarp, most, distance);
    const float other_least = __shfl_xor_sync(kFullWarp, least, distance);
    const int32_t other_most_at = __shfl_xor_sync(kFullWarp, most_at, distance);
    const int32_t other_least_at = __shfl_xor_sync(kFullWarp, least_at, distance);
    if (other_most > most || (other_most == most && other_most_at < most_at)) {
      most = other_most;
      most_at = other_most_at;
    }
    if (other_least < least || (other_least == least && other_least_at < least_at)) {
      least = other_least;
      least_at = other_least_at;
    }
  }

  /// Argmax over [x; −x] of `columns` projections. NaN never compares, so it stays in range.
  __device__ int32_t argmax(int32_t columns) const {
    return -least > most ? columns + least_at : most_at;
  }
};

template <typename E>
__device__ HashBlock block_of(const HashTask<E>& task) {
  int64_t index = blockIdx.x;
  HashBlock block;
  block.round = static_cast<int>(index % task.rounds);
  index /= task.rounds;
  block.head = static_cast<int>(index % task.heads);
  index /= task.heads;
  block.first_token = index % task.token_blocks * kTokens;
  block.sample = index / task.token_blocks;
  block.tokens =
      static_cast<int>(min(static_cast<int64_t>(kTokens), task.length - block.first_token));
  return block;
}

template <typename E>
__device__ void stage_tokens(const HashTask<E>& task, const HashBlock& block, int first,
                             Slices& slices) {
  const int64_t stride = static_cast<int64_t>(task.heads) * task.head_dim;
  const E* const rows = task.query_key + (block.sample * task.length + block.first_token) * stride +
                        block.head * task.head_dim;
  for (int i = threadIdx.x; i < kTokens * kDepth / kChunkElements; i += kThreads) {
    const int token = i % kTokens;
    const int depth = i / kTokens * kChunkElements;
    float chunk[kChunkElements] = {};
    if (token < block.tokens) {
      const int left = task.head_dim - first - depth;
      load_chunk(rows + token * stride + first + depth, left, task.whole_chunks && left > 0, chunk);
    }
#pragma unroll
    for (int k = 0; k < kChunkElements; ++k) slices.tokens[depth + k][token] = chunk[k];
  }
}

/// Columns [column, column + count) of the block's head and round, zeros beyond.
template <typename E>
__device__ void stage_rotation(const HashTask<E>& task, const HashBlock& block, int first,
                               int column, int count, Slices& slices) {
  const int64_t stride = static_cast<int64_t>(task.rounds) * task.columns;
  const float* const rows = task.rotations + (block.head * task.head_dim + first) * stride +
                            static_cast<int64_t>(block.round) * task.columns + column;
#pragma unroll 4
  for (int i = threadIdx.x; i < kDepth * kColumns; i += kThreads) {
    const int depth = i / kColumns;
    const bool inside = first + depth < task.head_dim && i % kColumns < count;
    slices.rotation[depth][i % kColumns] = inside ? rows[depth * stride + i % kColumns] : 0.0f;
  }
}

/// products[t][c] += Σ over the slice, one chain of fused multiply-adds in the order of the depth.
__device__ inline void multiply_slices(const Slices& slices, int depth, int token, int column,
                                       float (&products)[4][4 * kColumnGroups]) {
#pragma unroll 8
  for (int d = 0; d < depth; ++d) {
    const float4 x = *reinterpret_cast<const float4*>(&slices.tokens[d][token]);
    const float left[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
    for (int group = 0; group < kColumnGroups; ++group) {
      const float4 y =
          *reinterpret_cast<const float4*>(&slices.rotation[d][column + group * kGroupStep]);
      const float right[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
      for (int t = 0; t < 4; ++t) {
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          products[t][4 * group + c] = __fmaf_rn(left[t], right[c], products[t][4 * group + c]);
        }
      }
    }
  }
}

template <typename E>
__global__ void __launch_bounds__(kThreads, 4) hash_tokens(HashTask<E> task) {
  __shared__ Slices slices;
  const HashBlock block = block_of(task);
  const int column = threadIdx.x % kColumnThreads * 4;
  const int token = threadIdx.x / kColumnThreads * 4;
  int32_t bucket[4] = {};
  int32_t scale = 1;
  int begin = 0;
  for (int f = 0; f < task.factors; ++f) {
    const int columns = task.factor[f] / 2;
    Extremes extremes[4];
    for (int tile = 0; tile < columns; tile += kColumns) {
      float products[4][4 * kColumnGroups] = {};
      for (int first = 0; first < task.head_dim; first += kDepth) {
        __syncthreads();
        stage_tokens(task, block, first, slices);
        stage_rotation(task, block, first, begin + tile, columns - tile, slices);
        __syncthreads();
        multiply_slices(slices, min(kDepth, task.head_dim - first), token, column, products);
      }
#pragma unroll
      for (int c = 0; c < 4 * kColumnGroups; ++c) {
        const int at = tile + column + c / 4 * kGroupStep + c % 4;
        if (at >= columns) continue;
#pragma unroll
        for (int t = 0; t < 4; ++t) extremes[t].see(products[t][c], at);
      }
    }
#pragma unroll
    for (int t = 0; t < 4; ++t) {
      for (int distance = 1; distance < kColumnThreads; distance *= 2) extremes[t].merge(distance);
      bucket[t] += scale * extremes[t].argmax(columns);
    }
    scale *= task.factor[f];
    begin += columns;
  }
  if (column != 0) return;
  const int64_t list = (block.sample * task.heads + block.head) * task.rounds + block.round;
  const int64_t sample_token = block.sample * task.length;
#pragma unroll
  for (int t = 0; t < 4; ++t) {
    if (token + t >= block.tokens) return;
    const int64_t position = block.first_token + token + t;
    const bool masked = task.mask != nullptr && task.mask[sample_token + position] == 0;
    task.bucket_of[list * task.length + position] = masked ? task.masked_bucket : bucket[t];
  }
}

void check_hash(const LshHashArgs& args) {
  CHECK(args.heads >= 1 && args.rounds >= 1 && !args.buckets.empty());
  for (const int64_t factor : args.buckets) CHECK(factor >= 2 && factor % 2 == 0);
  CHECK_LE(args.buckets.size(), static_cast<size_t>(kMostFactors));
  CHECK_LT(bucket_count(args.buckets), int64_t{1} << 31);
  const TokenLayout& layout = args.layout;
  CHECK_EQ(args.query_key.shape().rank(), 2);
  const int64_t width = args.query_key.shape()[1];
  CHECK_EQ(width % args.heads, 0);
  check_activation(args.query_key, {layout.rows(), width});
  check_view(args.rotations, DType::kFloat32,
             {args.heads, width / args.heads, args.rounds * rotation_columns(args.buckets)});
  if (args.mask.defined()) {
    check_view(args.mask, DType::kUint8, {layout.samples, layout.length});
  }
  check_view(args.bucket_of, DType::kInt32,
             {layout.samples, args.heads, args.rounds, layout.length});
}

}  // namespace

void lsh_hash(Runtime& runtime, const LshHashArgs& args) {
  check_hash(args);
  const TokenLayout& layout = args.layout;
  const int64_t head_dim = args.query_key.shape()[1] / args.heads;
  with_element_type(args.query_key.dtype(), [&](auto element) {
    using E = decltype(element);
    HashTask<E> task{.query_key = args.query_key.data<E>(),
                     .rotations = args.rotations.data<float>(),
                     .mask = args.mask.data<uint8_t>(),
                     .bucket_of = args.bucket_of.data<int32_t>(),
                     .length = layout.length,
                     .token_blocks = divide_up(layout.length, kTokens),
                     .heads = static_cast<int>(args.heads),
                     .rounds = static_cast<int>(args.rounds),
                     .head_dim = static_cast<int>(head_dim),
                     .columns = static_cast<int>(rotation_columns(args.buckets)),
                     .whole_chunks = whole_chunks(head_dim, kChunkElements, {args.query_key.raw()}),
                     .masked_bucket = static_cast<int32_t>(bucket_count(args.buckets)),
                     .factors = static_cast<int>(args.buckets.size()),
                     .factor = {}};
    std::transform(args.buckets.begin(), args.buckets.end(), task.factor,
                   [](int64_t factor) { return static_cast<int32_t>(factor); });
    launch(
        runtime, hash_tokens<E>,
        dim3(static_cast<unsigned>(layout.samples * task.token_blocks * args.heads * args.rounds)),
        dim3(kThreads), 0, task);
  });
}

}  // namespace reformer::cuda
