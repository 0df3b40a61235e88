#include "tests/reference/lsh.h"

#include <set>
#include <vector>

#include <cblas.h>

#include "kernels/lsh_layout.h"
#include "tests/kernels/backend_under_test.h"
#include "tests/kernels/op_testing.h"

namespace reformer {
namespace {

// Projections whose largest two differ by less than this, relatively, may be told apart wrongly in
// single precision.
constexpr double kDecided = 1e-4;

struct HashCase {
  int64_t samples = 1;
  int64_t length = 1;
  int64_t heads = 1;
  int64_t rounds = 1;
  int64_t head_dim = 1;
  std::vector<int64_t> buckets;
  int64_t tile = 128;
  bool masked = false;
};

struct HashProblem {
  explicit HashProblem(const HashCase& config, uint64_t seed = 3) : buckets(config.buckets) {
    openblas_set_num_threads(1);
    testing::ActivationRandom random(seed);
    query_key = random.normal({config.samples * config.length, config.heads * config.head_dim});
    rotations =
        random.normal({config.heads, config.head_dim, config.rounds * rotation_columns(buckets)});
    mask = Tensor(DType::kUint8, {config.samples, config.length});
    for (int64_t i = 0; i < mask.elements(); ++i) {
      mask.data<uint8_t>()[i] = i > 0 && random.chance(0.7) ? 1 : 0;
    }
    bucket_of = Tensor(DType::kInt32, {config.samples, config.heads, config.rounds, config.length});
    args = {.layout = {.samples = config.samples, .length = config.length, .tile = config.tile},
            .heads = config.heads,
            .rounds = config.rounds,
            .buckets = buckets,
            .query_key = query_key.view(),
            .rotations = rotations.view(),
            .mask = config.masked ? mask.view() : View(),
            .bucket_of = bucket_of.view()};
  }

  std::vector<int64_t> buckets;
  Tensor query_key, rotations, mask, bucket_of;
  LshHashArgs args;
};

/// Compares decided buckets; returns how many there were.
int64_t expect_equal_hashes(const HashProblem& problem, int threads) {
  const auto backend = testing::make_backend_under_test(threads);
  backend->lsh_hash(problem.args);
  const reference::Hashes expected = reference::lsh_hash(problem.args);
  int64_t decided = 0;
  for (size_t i = 0; i < expected.bucket_of.size(); ++i) {
    if (expected.margin[i] < kDecided) continue;
    ++decided;
    EXPECT_EQ(problem.bucket_of.data<int32_t>()[i], expected.bucket_of[i]) << "at " << i;
  }
  return decided;
}

TEST(LshHashTest, EqualsDoublePrecision) {
  const std::vector<HashCase> cases = {
      {.length = 1, .head_dim = 1, .buckets = {2}},
      {.length = 7, .head_dim = 3, .buckets = {6}},
      {.samples = 3,
       .length = 37,
       .heads = 2,
       .rounds = 3,
       .head_dim = 5,
       .buckets = {34},
       .tile = 8},
      {.samples = 2,
       .length = 300,
       .heads = 3,
       .rounds = 2,
       .head_dim = 64,
       .buckets = {64},
       .masked = true},
      {.samples = 2, .length = 130, .heads = 1, .rounds = 4, .head_dim = 16, .buckets = {8, 18}},
      {.length = 200, .heads = 2, .rounds = 2, .head_dim = 8, .buckets = {4, 2, 6}, .masked = true},
      {.length = 70, .heads = 1, .rounds = 2, .head_dim = 40, .buckets = {300, 132}},
      {.length = 65, .heads = 1, .rounds = 1, .head_dim = 256, .buckets = {10}},
  };
  for (const HashCase& config : cases) {
    const HashProblem problem(config);
    const int64_t all = problem.bucket_of.elements();
    EXPECT_GE(expect_equal_hashes(problem, 2), all * 99 / 100);
  }
}

TEST(LshHashTest, FirstOfEqualsWins) {
  // Small integers: projections are exact, and many are equal.
  for (const int64_t factor : {2, 8, 40}) {
    HashProblem problem(
        {.length = 500, .heads = 2, .rounds = 2, .head_dim = 3, .buckets = {factor, 4}});
    testing::Random random(5);
    for (const Tensor* tensor : {&problem.query_key, &problem.rotations}) {
      for (int64_t i = 0; i < tensor->elements(); ++i) {
        tensor->data<float>()[i] = static_cast<float>(random.integer(-1, 1));
      }
    }
    std::fill_n(problem.query_key.data<float>(), 6, 0.0f);  // all projections of token 0 are equal
    EXPECT_EQ(expect_equal_hashes(problem, 1), problem.bucket_of.elements());
    EXPECT_EQ(problem.bucket_of.data<int32_t>()[0], 0);
  }
}

TEST(LshHashTest, NotANumberStillMakesABucket) {
  HashProblem problem({.length = 64, .head_dim = 4, .buckets = {34}});
  std::fill_n(problem.query_key.data<float>() + 8, 40, std::numeric_limits<float>::quiet_NaN());
  const auto backend = testing::make_backend_under_test(1);
  backend->lsh_hash(problem.args);
  for (int64_t i = 0; i < 64; ++i) {
    EXPECT_GE(problem.bucket_of.data<int32_t>()[i], 0);
    EXPECT_LT(problem.bucket_of.data<int32_t>()[i], 34);
  }
}

TEST(LshHashTest, SameBitsForThreadsAndBatches) {
  const HashCase config{.samples = 3,
                        .length = 200,
                        .heads = 2,
                        .rounds = 2,
                        .head_dim = 16,
                        .buckets = {16, 8},
                        .tile = 64};
  const HashProblem one(config);
  const HashProblem three(config);
  const HashProblem split(config);
  const auto one_thread = testing::make_backend_under_test(1);
  const auto three_threads = testing::make_backend_under_test(3);
  one_thread->lsh_hash(one.args);
  three_threads->lsh_hash(three.args);
  EXPECT_TRUE(testing::same_bits(one.bucket_of.view(), three.bucket_of.view()));
  for (int64_t sample = 0; sample < 3; ++sample) {
    LshHashArgs args = split.args;
    args.layout.samples = 1;
    args.layout.first_sample = sample;
    args.query_key = args.query_key.rows(sample * 200, (sample + 1) * 200);
    args.bucket_of = args.bucket_of.rows(sample, sample + 1);
    one_thread->lsh_hash(args);
  }
  EXPECT_TRUE(testing::same_bits(one.bucket_of.view(), split.bucket_of.view()));
}

class BucketSortTest : public ::testing::TestWithParam<std::pair<int64_t, int32_t>> {};

TEST_P(BucketSortTest, IsTheStableSort) {
  const auto [length, buckets] = GetParam();
  testing::Random random(11);
  const Shape shape{2, 2, 3, length};
  const Tensor bucket_of = random.integers(shape, 0, buckets);  // the last is that of masked tokens
  const Tensor order(DType::kInt32, shape);
  const Tensor bucket_begin(DType::kInt32, {2, 2, 3, buckets + 2});
  const auto backend = testing::make_backend_under_test(3);
  backend->bucket_sort({.num_buckets = buckets,
                        .bucket_of = bucket_of.view(),
                        .order = order.view(),
                        .bucket_begin = bucket_begin.view()});
  const int32_t* data = bucket_of.data<int32_t>();
  const reference::SortedBuckets expected =
      reference::bucket_sort({data, data + bucket_of.elements()}, length, buckets);
  EXPECT_TRUE(std::equal(expected.order.begin(), expected.order.end(), order.data<int32_t>()));
  EXPECT_TRUE(std::equal(expected.bucket_begin.begin(), expected.bucket_begin.end(),
                         bucket_begin.data<int32_t>()));
}
INSTANTIATE_TEST_SUITE_P(Shapes, BucketSortTest,
                         ::testing::Values(std::pair{1, 1}, std::pair{1, 50}, std::pair{17, 2},
                                           std::pair{1000, 1}, std::pair{1000, 64},
                                           std::pair{65536, 8192}, std::pair{3000, 70000}));

// ---- lsh_layout.h ---------------------------------------------------------------------------

AttentionPattern pattern_of(AttentionKind kind, bool causal, int64_t rounds, int64_t chunk) {
  return {.kind = kind, .causal = causal, .rounds = rounds, .chunk_length = chunk};
}

TEST(SlotRingTest, ChunksCoverEveryRoundAndUnroll) {
  const SlotRing ring(pattern_of(AttentionKind::kChunked, true, 3, 4), 10);
  EXPECT_EQ(ring.chunks(), 9);
  EXPECT_EQ(ring.chunk_slots(0, 0), (SlotRange{0, 4}));
  EXPECT_EQ(ring.chunk_slots(2, 2), (SlotRange{8, 10}));  // the last of a round is short
  EXPECT_EQ(ring.chunk_slots(3, 3), (SlotRange{10, 14}));
  EXPECT_EQ(ring.chunk_slots(-1, 0), (SlotRange{-2, 4}));
  EXPECT_EQ(ring.chunk_slots(8, 9), (SlotRange{28, 34}));
  EXPECT_EQ(ring.wrap(-2), 28);
  EXPECT_EQ(ring.wrap(31), 1);
  for (int64_t slot = -10; slot < 40; ++slot) {
    const int64_t chunk = ring.chunk_of(slot);
    EXPECT_TRUE(ring.chunk_slots(chunk, chunk).contains(slot)) << slot;
  }
}

TEST(SlotRingTest, LookBackCrossesRounds) {
  const AttentionPattern pattern = pattern_of(AttentionKind::kChunked, false, 2, 4);
  const SlotRing ring(pattern, 10);
  EXPECT_EQ(keys_seen_from(pattern, ring, 1, {}),
            (SlotRange{-2, 8}));  // last of round 1, and ahead
  EXPECT_EQ(keys_seen_from(pattern, ring, 11, {}),
            (SlotRange{8, 18}));  // last of round 0, and ahead
  EXPECT_EQ(keys_seen_from(pattern, ring, 19, {}), (SlotRange{14, 24}));  // ahead is round 0
}

/// Every slot is seen at most once from each slot, and queries_seeing is the inverse of
/// keys_seen_from.
TEST(SlotRingTest, QueriesSeeingIsTheInverse) {
  for (const AttentionKind kind : {AttentionKind::kStrict, AttentionKind::kChunked,
                                   AttentionKind::kLocal, AttentionKind::kFull}) {
    for (const bool causal : {true, false}) {
      for (const int64_t rounds : {1, 2, 3}) {
        if (rounds > 1 && !is_hashed(kind)) continue;
        for (const int64_t chunk : {1, 3, 5, 20}) {
          const AttentionPattern pattern = pattern_of(kind, causal, rounds, chunk);
          const SlotRing ring(pattern, 11);
          const auto round_of = [&](int64_t slot) {
            const int64_t begin = ring.unrolled_round(slot) * 11;
            return SlotRange{begin, begin + 11};
          };
          std::set<std::pair<int64_t, int64_t>> seen;
          std::set<std::pair<int64_t, int64_t>> offered;
          for (int64_t slot = 0; slot < ring.size(); ++slot) {
            const SlotRange keys = keys_seen_from(pattern, ring, slot, round_of(slot));
            for (int64_t key = keys.begin; key < keys.end; ++key) {
              EXPECT_TRUE(seen.insert({slot, ring.wrap(key)}).second)
                  << slot << " sees twice " << key;
            }
            const SlotRange queries = queries_seeing(pattern, ring, slot, round_of(slot));
            for (int64_t query = queries.begin; query < queries.end; ++query) {
              EXPECT_TRUE(offered.insert({ring.wrap(query), slot}).second);
            }
          }
          EXPECT_EQ(seen, offered);
        }
      }
    }
  }
}

/// Whatever own slots see or are seen from, in any round.
TEST(SlotsAroundTest, HoldAllThatOwnSlotsMeet) {
  constexpr int64_t kLength = 11;
  for (const AttentionKind kind : {AttentionKind::kStrict, AttentionKind::kChunked,
                                   AttentionKind::kLocal, AttentionKind::kFull}) {
    for (const bool causal : {true, false}) {
      for (const int64_t chunk : {1, 3, 5, 20}) {
        const int64_t rounds = is_hashed(kind) ? 3 : 1;
        const AttentionPattern pattern = pattern_of(kind, causal, rounds, chunk);
        const SlotRing ring(pattern, kLength);
        for (int64_t begin = 0; begin < kLength; ++begin) {
          for (int64_t end = begin + 1; end <= kLength; ++end) {
            const SlotRange around = slots_around(pattern, ring, {begin, end});
            EXPECT_EQ(intersection(around, {begin, end}), (SlotRange{begin, end}));
            for (int64_t round = 0; round < rounds; ++round) {
              const int64_t base = round * kLength;
              for (int64_t slot = base + begin; slot < base + end; ++slot) {
                const SlotRange bucket{base, base + kLength};
                for (const SlotRange met : {keys_seen_from(pattern, ring, slot, bucket),
                                            queries_seeing(pattern, ring, slot, bucket)}) {
                  if (met.empty()) continue;
                  EXPECT_LE(base + around.begin, met.begin);
                  EXPECT_GE(base + around.end, met.end);
                }
              }
            }
          }
        }
      }
    }
  }
}

TEST(SlotsAroundTest, AreWholeChunksOrAWindow) {
  const AttentionPattern chunked = pattern_of(AttentionKind::kChunked, true, 2, 4);
  const SlotRing ring(chunked, 10);
  EXPECT_EQ(slots_around(chunked, ring, {5, 6}), (SlotRange{0, 10}));
  EXPECT_EQ(slots_around(chunked, ring, {0, 1}), (SlotRange{-2, 8}));  // around the end of the ring
  EXPECT_EQ(slots_around(chunked, ring, {9, 10}), (SlotRange{4, 14}));
  const AttentionPattern local = pattern_of(AttentionKind::kLocal, true, 1, 4);
  EXPECT_EQ(slots_around(local, SlotRing(local, 10), {0, 4}), (SlotRange{0, 8}));
  const AttentionPattern strict = pattern_of(AttentionKind::kStrict, true, 2, 3);
  EXPECT_EQ(slots_around(strict, SlotRing(strict, 10), {5, 6}), (SlotRange{2, 9}));
  EXPECT_EQ(slots_around(strict, SlotRing(strict, 10), {0, 9}), (SlotRange{0, 10}));
  EXPECT_TRUE(slots_around(strict, SlotRing(strict, 10), {7, 7}).empty());
}

}  // namespace
}  // namespace reformer
