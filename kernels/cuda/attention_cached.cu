// Attention of single queries to a cache: all scores first, then for each query and head a block
// that adds the values up. Rows are used where they lie, since each is read by one query only.
#include <cmath>

#include "kernels/cuda/chunk.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
/// Threads that share the product of a query and a key.
constexpr int kKeyThreads = 8;
constexpr int kKeysAtOnce = kThreads / kKeyThreads;
/// A block scores this many keys of one list.
constexpr int kScoredKeys = 128;
constexpr int kChunkElements = kChunk<__nv_bfloat16>;

/// A list is one query and head, number query · H + head.
template <typename E>
struct CachedTask {
  const E* query;
  const E* own_value;
  const E* keys;
  const E* values;
  const int32_t* sequence;
  const int32_t* seen;
  const int32_t* seen_count;
  float* scores;  // [B, H, K]
  E* out;
  int64_t heads;
  int64_t width;
  int64_t capacity;
  int64_t most;  // K
  float scale;   // of the query
  bool unit_keys;
  bool whole;  // chunks are whole and aligned

  /// Offset in the cache of this list's part of row 0 of its sequence.
  __device__ int64_t cache(int64_t list) const {
    return (sequence[list / heads] * capacity * heads + list % heads) * width;
  }
};

/// Σ over the lanes that share a key, in a fixed order, on each of them.
__device__ float sum_of_key_threads(float value) {
#pragma unroll
  for (int distance = kKeyThreads / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kFullWarp, value, distance);
  }
  return value;
}

template <typename E>
__global__ void __launch_bounds__(kThreads) score_keys(CachedTask<E> task) {
  const int64_t blocks_of_list = (task.most + kScoredKeys - 1) / kScoredKeys;
  const int64_t list = blockIdx.x / blocks_of_list;
  const int64_t first = blockIdx.x % blocks_of_list * kScoredKeys;
  const int64_t count = task.seen_count[list];
  const int thread = static_cast<int>(threadIdx.x) % kKeyThreads;
  const E* const query = task.query + list * task.width;
  for (int64_t at = first; at < min(first + kScoredKeys, count); at += kKeysAtOnce) {
    const int64_t k = at + threadIdx.x / kKeyThreads;
    // Those beyond the end take part in the sums of their warp.
    const int64_t row = k < count ? task.seen[list * task.most + k] : 0;
    const E* const key = task.keys + task.cache(list) + row * task.heads * task.width;
    float product = 0;
    float squares = 0;
    for (int64_t column = thread * kChunkElements; column < task.width;
         column += kKeyThreads * kChunkElements) {
      const auto left = static_cast<int>(min(task.width - column, int64_t{kChunkElements}));
      float q[kChunkElements];
      float x[kChunkElements];
      load_chunk(query + column, left, task.whole, q);
      load_chunk(key + column, left, task.whole, x);
#pragma unroll
      for (int i = 0; i < kChunkElements; ++i) {
        product = __fmaf_rn(q[i], x[i], product);
        squares = __fmaf_rn(x[i], x[i], squares);
      }
    }
    float score = task.scale * sum_of_key_threads(product);
    if (task.unit_keys) {
      const float norm = sqrtf(sum_of_key_threads(squares));
      score = norm < kShortestKey ? 0.0f : score / norm;
    }
    if (thread == 0 && k < count) task.scores[list * task.most + k] = score;
  }
}

/// The largest of all threads' values, on each of them.
__device__ float block_max(float value) {
  __shared__ float of_warp[kWarps];
  value = warp_max(value);
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
#pragma unroll
  for (const float other : of_warp) value = fmaxf(value, other);
  return value;
}

/// A thread has a column, and adds in the order of the list.
template <typename E>
__global__ void __launch_bounds__(kThreads) add_values(CachedTask<E> task) {
  const int64_t list = blockIdx.x;
  const int64_t count = task.seen_count[list];
  const int64_t element = list * task.width;
  if (count == 0) {
    for (int64_t column = threadIdx.x; column < task.width; column += kThreads) {
      task.out[element + column] = task.own_value[element + column];
    }
    return;
  }
  float* const scores = task.scores + list * task.most;
  float largest = -INFINITY;
  for (int64_t k = threadIdx.x; k < count; k += kThreads) largest = fmaxf(largest, scores[k]);
  largest = block_max(largest);
  for (int64_t k = threadIdx.x; k < count; k += kThreads) scores[k] = expf(scores[k] - largest);
  __syncthreads();
  const int32_t* const seen = task.seen + list * task.most;
  const E* const values = task.values + task.cache(list);
  const int64_t stride = task.heads * task.width;
  for (int64_t column = threadIdx.x; column < task.width; column += kThreads) {
    float total = 0;
    float sum = 0;
#pragma unroll 8
    for (int64_t k = 0; k < count; ++k) {
      const float weight = scores[k];
      total += weight;
      sum = __fmaf_rn(weight, load(values + seen[k] * stride + column), sum);
    }
    store(task.out + element + column, sum / total);
  }
}

void check_cached(const AttendCachedArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const DType dtype = args.query.dtype();
  const int64_t queries = args.query.shape()[0];
  const int64_t inner = pattern.heads * pattern.head_dim;
  CHECK_EQ(args.keys.shape().rank(), 3);
  CHECK_EQ(args.seen.shape().rank(), 3);
  check_activation(args.query, {queries, inner});
  check_view(args.value, dtype, {queries, inner});
  check_view(args.out, dtype, {queries, inner});
  for (const View& view : {args.keys, args.values}) {
    check_view(view, dtype, {args.keys.shape()[0], args.keys.shape()[1], inner});
  }
  check_view(args.sequence, DType::kInt32, {queries});
  check_view(args.seen, DType::kInt32, {queries, pattern.heads, args.seen.shape()[2]});
  check_view(args.seen_count, DType::kInt32, {queries, pattern.heads});
}

}  // namespace

void attend_cached(Runtime& runtime, const AttendCachedArgs& args) {
  check_cached(args);
  const AttentionPattern& pattern = args.pattern;
  const bool unit_keys = has_shared_query_key(pattern.kind);
  const int64_t lists = args.query.shape()[0] * pattern.heads;
  const int64_t most = args.seen.shape()[2];
  const Workspace::Mark mark(runtime.workspace());
  const View scores = runtime.workspace().allocate(DType::kFloat32, {lists, most});
  with_element_type(args.query.dtype(), [&](auto element) {
    using E = decltype(element);
    const CachedTask<E> task{
        .query = args.query.data<E>(),
        .own_value = args.value.data<E>(),
        .keys = args.keys.data<E>(),
        .values = args.values.data<E>(),
        .sequence = args.sequence.data<int32_t>(),
        .seen = args.seen.data<int32_t>(),
        .seen_count = args.seen_count.data<int32_t>(),
        .scores = scores.data<float>(),
        .out = args.out.data<E>(),
        .heads = pattern.heads,
        .width = pattern.head_dim,
        .capacity = args.keys.shape()[1],
        .most = most,
        .scale = unit_keys ? 1.0f : 1.0f / std::sqrt(static_cast<float>(pattern.head_dim)),
        .unit_keys = unit_keys,
        .whole =
            whole_chunks(pattern.head_dim, kChunkElements, {args.query.raw(), args.keys.raw()})};
    launch(runtime, score_keys<E>,
           dim3(static_cast<unsigned>(lists * divide_up(most, kScoredKeys))), dim3(kThreads), 0,
           task);
    launch(runtime, add_values<E>, dim3(static_cast<unsigned>(lists)), dim3(kThreads), 0, task);
  });
}

}  // namespace reformer::cuda
