#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/lsh.cc"
#include "hwy/foreach_target.h"
// Below this line everything is read again for each instruction set.
#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include <cblas.h>

#include "hwy/highway.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/lsh_layout.h"

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Index of the first `value` in x[0, count); count if there is none.
int64_t first_equal(const float* x, int64_t count, float value) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto wanted = hn::Set(d, value);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const intptr_t lane = hn::FindFirstTrue(d, hn::Eq(hn::LoadU(d, x + i), wanted));
    if (lane >= 0) return i + lane;
  }
  while (i < count && x[i] != value) ++i;
  return i;
}

/// Argmax over [x; −x], the first of equals. With NaN in x, any of [0, 2 · count).
int64_t argmax_signed(const float* x, int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  float most = x[0];
  float least = x[0];
  int64_t i = 0;
  if (count >= lanes) {
    auto high = hn::LoadU(d, x);
    auto low = high;
    for (i = lanes; i + lanes <= count; i += lanes) {
      const auto value = hn::LoadU(d, x + i);
      high = hn::Max(high, value);
      low = hn::Min(low, value);
    }
    most = hn::GetLane(hn::MaxOfLanes(d, high));
    least = hn::GetLane(hn::MinOfLanes(d, low));
  }
  for (; i < count; ++i) {
    most = x[i] > most ? x[i] : most;
    least = x[i] < least ? x[i] : least;
  }
  if (most >= -least) return first_equal(x, count, most);
  return std::min(count + first_equal(x, count, least), 2 * count - 1);
}

}  // namespace
}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reformer::cpu {
namespace {

HWY_EXPORT(argmax_signed);

void check_hash(const LshHashArgs& args) {
  CHECK(args.heads >= 1 && args.rounds >= 1 && !args.buckets.empty());
  for (const int64_t factor : args.buckets) CHECK(factor >= 2 && factor % 2 == 0);
  CHECK_LT(bucket_count(args.buckets), int64_t{1} << 31);
  const TokenLayout& layout = args.layout;
  CHECK_EQ(layout.first_position % layout.tile, 0);
  CHECK_EQ(args.query_key.shape().rank(), 2);
  const int64_t width = args.query_key.shape()[1];
  CHECK_EQ(width % args.heads, 0);
  check_view(args.query_key, DType::kFloat32, {layout.rows(), width});
  check_view(args.rotations, DType::kFloat32,
             {args.heads, width / args.heads, args.rounds * rotation_columns(args.buckets)});
  if (args.mask.defined()) {
    check_view(args.mask, DType::kUint8, {layout.samples, layout.length});
  }
  check_view(args.bucket_of, DType::kInt32,
             {layout.samples, args.heads, args.rounds, layout.length});
}

int32_t bucket_of(std::span<const int64_t> factors, const float* projections) {
  int64_t bucket = 0;
  int64_t scale = 1;
  for (const int64_t factor : factors) {
    bucket += scale * HWY_DYNAMIC_DISPATCH(argmax_signed)(projections, factor / 2);
    scale *= factor;
    projections += factor / 2;
  }
  return static_cast<int32_t>(bucket);
}

/// Hashes the tokens [begin, begin + rows) of one sample and head; at most one GEMM tile.
struct HashTile {
  int64_t sample;
  int64_t head;
  int64_t begin;
  int64_t rows;
};

void hash_tile(const LshHashArgs& args, const HashTile& tile, float* projections) {
  const int64_t length = args.layout.length;
  const int64_t width = args.query_key.shape()[1];
  const int64_t head_dim = width / args.heads;
  const int64_t round_columns = rotation_columns(args.buckets);
  const int64_t columns = args.rounds * round_columns;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<blasint>(tile.rows),
              static_cast<blasint>(columns), static_cast<blasint>(head_dim), 1.0f,
              args.query_key.data<float>() + (tile.sample * length + tile.begin) * width +
                  tile.head * head_dim,
              static_cast<blasint>(width),
              args.rotations.data<float>() + tile.head * head_dim * columns,
              static_cast<blasint>(columns), 0.0f, projections, static_cast<blasint>(columns));
  const uint8_t* mask =
      args.mask.defined() ? args.mask.data<uint8_t>() + tile.sample * length + tile.begin : nullptr;
  const auto masked_bucket = static_cast<int32_t>(bucket_count(args.buckets));
  for (int64_t round = 0; round < args.rounds; ++round) {
    const int64_t list = (tile.sample * args.heads + tile.head) * args.rounds + round;
    int32_t* result = args.bucket_of.data<int32_t>() + list * length + tile.begin;
    const float* row = projections + round * round_columns;
    for (int64_t i = 0; i < tile.rows; ++i, row += columns) {
      const bool masked = mask != nullptr && mask[i] == 0;
      result[i] = masked ? masked_bucket : bucket_of(args.buckets, row);
    }
  }
}

/// Counting sort of one list of buckets. `next` has room for N + 1 slots.
void sort_buckets(std::span<const int32_t> bucket_of, int32_t* bucket_begin,
                  std::span<int32_t> next, int32_t* order) {
  const auto buckets = static_cast<int32_t>(next.size());
  std::fill(next.begin(), next.end(), 0);
  for (const int32_t bucket : bucket_of) {
    CHECK(bucket >= 0 && bucket < buckets);
    ++next[static_cast<size_t>(bucket)];
  }
  int32_t slot = 0;
  for (size_t bucket = 0; bucket < next.size(); ++bucket) {
    bucket_begin[bucket] = slot;
    slot += std::exchange(next[bucket], slot);
  }
  bucket_begin[next.size()] = slot;
  for (size_t position = 0; position < bucket_of.size(); ++position) {
    order[next[static_cast<size_t>(bucket_of[position])]++] = static_cast<int32_t>(position);
  }
}

}  // namespace

void lsh_hash(ThreadPool& pool, const LshHashArgs& args) {
  check_hash(args);
  const TokenLayout& layout = args.layout;
  const int64_t tiles = (layout.length + layout.tile - 1) / layout.tile;
  const int64_t columns = args.rounds * rotation_columns(args.buckets);
  pool.parallel_for(layout.samples * tiles * args.heads, [&](int64_t index, int thread) {
    const int64_t begin = index / args.heads % tiles * layout.tile;
    const HashTile tile{.sample = index / args.heads / tiles,
                        .head = index % args.heads,
                        .begin = begin,
                        .rows = std::min(layout.tile, layout.length - begin)};
    hash_tile(args, tile, pool.scratch(thread, static_cast<size_t>(layout.tile * columns)));
  });
}

void bucket_sort(ThreadPool& pool, const BucketSortArgs& args) {
  const Shape& shape = args.bucket_of.shape();
  CHECK_EQ(shape.rank(), 4);
  const int64_t length = shape[3];
  CHECK(args.num_buckets >= 1 && args.num_buckets < (int64_t{1} << 31) - 2);
  CHECK_LT(length, int64_t{1} << 31);
  check_view(args.bucket_of, DType::kInt32, shape);
  check_view(args.order, DType::kInt32, shape);
  check_view(args.bucket_begin, DType::kInt32,
             {shape[0], shape[1], shape[2], args.num_buckets + 2});
  const auto buckets = static_cast<size_t>(args.num_buckets + 1);
  pool.parallel_for(shape[0] * shape[1] * shape[2], [&](int64_t list, int thread) {
    auto* next = reinterpret_cast<int32_t*>(pool.scratch(thread, buckets));
    sort_buckets({args.bucket_of.data<int32_t>() + list * length, static_cast<size_t>(length)},
                 args.bucket_begin.data<int32_t>() + list * (args.num_buckets + 2), {next, buckets},
                 args.order.data<int32_t>() + list * length);
  });
}

}  // namespace reformer::cpu
#endif  // HWY_ONCE
