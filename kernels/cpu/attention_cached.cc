// Attention of single queries to a cache. Rows are used where they lie: each is read by one query
// only, so gathering them would cost as much as the work itself.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_cached.cc"
#include "hwy/foreach_target.h"
// Below this line everything is read again for each instruction set.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/attention_slots.h"
#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;

/// One query and head, and the rows of the cache that it sees.
struct CachedQuery {
  const float* query;   // [D]
  const float* own;     // [D], value
  const float* keys;    // row 0 of the cache; rows are `stride` apart
  const float* values;  // like keys
  int64_t stride;
  const int32_t* seen;
  int64_t count;
  size_t width;
  float scale;     // of the query
  bool unit_keys;  // k / ‖k‖ in place of k
};

float dot(const float* a, const float* b, size_t width) {
  const D d;
  return sum_vectors(d, width, [&](size_t column, auto columns) HWY_ATTR {
    return hn::Mul(load(d, a + column, columns), load(d, b + column, columns));
  });
}

/// Sets scores[0, count) and returns the largest.
float score_keys(const CachedQuery& q, float* scores) {
  float largest = -HUGE_VALF;
  for (int64_t k = 0; k < q.count; ++k) {
    const float* const key = q.keys + q.seen[k] * q.stride;
    float score = q.scale * dot(q.query, key, q.width);
    if (q.unit_keys) {
      const float norm = std::sqrt(dot(key, key, q.width));
      score = norm < kShortestKey ? 0.0f : score / norm;
    }
    scores[k] = score;
    largest = std::max(largest, score);
  }
  return largest;
}

/// scores[k] = exp(scores[k] − largest); returns their sum.
float weigh(float largest, int64_t count, float* scores) {
  const D d;
  const auto offset = hn::Set(d, largest);
  for_vectors(d, static_cast<size_t>(count), [&](size_t column, auto columns) HWY_ATTR {
    const auto score = load(d, scores + column, columns);
    store(d, exp_nonpositive(d, hn::Sub(score, offset)), scores + column, columns);
  });
  float sum = 0;
  for (int64_t k = 0; k < count; ++k) sum += scores[k];
  return sum;
}

/// `scores` is scratch for q.count of them.
void attend(const CachedQuery& q, float* scores, float* out) {
  if (q.count == 0) {
    std::copy_n(q.own, q.width, out);
    return;
  }
  const D d;
  const float inverse = 1.0f / weigh(score_keys(q, scores), q.count, scores);
  for_vectors(d, q.width, [&](size_t column, auto columns) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (int64_t k = 0; k < q.count; ++k) {
      const float* const value = q.values + q.seen[k] * q.stride + column;
      sum = hn::MulAdd(hn::Set(d, scores[k]), load(d, value, columns), sum);
    }
    store(d, hn::Mul(sum, hn::Set(d, inverse)), out + column, columns);
  });
}

void attend_cached(ThreadPool& pool, const AttendCachedArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const int64_t heads = pattern.heads;
  const int64_t inner = heads * pattern.head_dim;
  const int64_t of_sequence = args.keys.shape()[1] * inner;
  const int64_t most = args.seen.shape()[2];
  pool.parallel_for(args.query.shape()[0] * heads, [&](int64_t index, int thread) {
    const int64_t row = index / heads;
    const int64_t column = index % heads * pattern.head_dim;
    const int64_t cache = args.sequence.data<int32_t>()[row] * of_sequence + column;
    const int64_t element = row * inner + column;
    const CachedQuery query{.query = args.query.data<float>() + element,
                            .own = args.value.data<float>() + element,
                            .keys = args.keys.data<float>() + cache,
                            .values = args.values.data<float>() + cache,
                            .stride = inner,
                            .seen = args.seen.data<int32_t>() + index * most,
                            .count = args.seen_count.data<int32_t>()[index],
                            .width = static_cast<size_t>(pattern.head_dim),
                            .scale = query_scale(pattern),
                            .unit_keys = has_shared_query_key(pattern.kind)};
    attend(query, pool.scratch(thread, static_cast<size_t>(query.count)),
           args.out.data<float>() + element);
  });
}

}  // namespace
}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reformer::cpu {
namespace {

HWY_EXPORT(attend_cached);

void check_cached(const AttendCachedArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const int64_t queries = args.query.shape()[0];
  const int64_t inner = pattern.heads * pattern.head_dim;
  CHECK_EQ(args.keys.shape().rank(), 3);
  CHECK_EQ(args.seen.shape().rank(), 3);
  const int64_t sequences = args.keys.shape()[0];
  const int64_t capacity = args.keys.shape()[1];
  const int64_t most = args.seen.shape()[2];
  for (const View& view : {args.query, args.value, args.out}) {
    check_view(view, DType::kFloat32, {queries, inner});
  }
  for (const View& view : {args.keys, args.values}) {
    check_view(view, DType::kFloat32, {sequences, capacity, inner});
  }
  check_view(args.sequence, DType::kInt32, {queries});
  check_view(args.seen, DType::kInt32, {queries, pattern.heads, most});
  check_view(args.seen_count, DType::kInt32, {queries, pattern.heads});
  for (int64_t row = 0; row < queries; ++row) {
    const int32_t sequence = args.sequence.data<int32_t>()[row];
    CHECK(0 <= sequence && sequence < sequences);
  }
  for (int64_t list = 0; list < queries * pattern.heads; ++list) {
    const int32_t count = args.seen_count.data<int32_t>()[list];
    CHECK(0 <= count && count <= most);
    const int32_t* const seen = args.seen.data<int32_t>() + list * most;
    CHECK(std::all_of(seen, seen + count, [&](int32_t key) { return 0 <= key && key < capacity; }));
  }
}

}  // namespace

void attend_cached(ThreadPool& pool, const AttendCachedArgs& args) {
  check_cached(args);
  HWY_DYNAMIC_DISPATCH(attend_cached)(pool, args);
}

}  // namespace reformer::cpu
#endif  // HWY_ONCE
