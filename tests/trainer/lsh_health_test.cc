// What is told of the hash, against the definitions.
#include "trainer/evaluation/lsh_health.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "comm/self.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/kernels/op_testing.h"
#include "tests/reference/lsh.h"

namespace reformer {
namespace {

using testing::Random;

constexpr int64_t kLength = 60;
constexpr int64_t kBuckets = 8;
// Enough that every position is sampled about as often as any other.
constexpr int64_t kQueries = 4096;

/// One layer, one sequence, one head, with random buckets.
struct Problem {
  Problem(AttentionKind kind, int64_t rounds, int64_t chunk_length, uint64_t seed = 1) {
    AttentionPattern pattern;
    pattern.kind = kind;
    pattern.rounds = rounds;
    pattern.chunk_length = chunk_length;
    pattern.head_dim = 6;
    spec.layers = {{.attention = pattern, .buckets = {kBuckets}}};
    Random random(seed);
    query = random.normal({kLength, 6}, 1.5f);
    const Tensor random_buckets = random.integers({rounds * kLength}, 0, kBuckets - 1);
    bucket_of.assign(random_buckets.data<int32_t>(),
                     random_buckets.data<int32_t>() + random_buckets.elements());
  }

  HeadHealth look(int64_t queries = kQueries) {
    const reference::SortedBuckets sorted = reference::bucket_sort(bucket_of, kLength, kBuckets);
    const int64_t rounds = spec.layers[0].attention.rounds;
    order = Tensor(DType::kInt32, {1, 1, rounds, kLength});
    bucket_begin = Tensor(DType::kInt32, {1, 1, rounds, kBuckets + 2});
    std::copy(sorted.order.begin(), sorted.order.end(), order.data<int32_t>());
    std::copy(sorted.bucket_begin.begin(), sorted.bucket_begin.end(), bucket_begin.data<int32_t>());
    AttentionActivations activations;
    activations.query = query.view();
    const std::unique_ptr<Backend> backend = make_cpu_backend(1);
    LshHealth health(spec, queries, 3);
    health.observe(*backend,
                   {.layer = 0,
                    .layout = {.length = kLength},
                    .activations = activations,
                    .slots = {.order = order.view(), .bucket_begin = bucket_begin.view()}});
    SelfCommunicator alone;
    return health.result(alone).at(0);
  }

  int32_t bucket(int64_t round, int64_t position) const {
    return bucket_of[static_cast<size_t>(round * kLength + position)];
  }

  /// Whether query i sees key j < i in any round: at most a window of its bucket in between.
  bool sees(int64_t i, int64_t j) const {
    const AttentionPattern& pattern = spec.layers[0].attention;
    for (int64_t round = 0; round < pattern.rounds; ++round) {
      if (bucket(round, i) != bucket(round, j)) continue;
      int64_t distance = 0;
      for (int64_t k = j; k < i; ++k) distance += bucket(round, k) == bucket(round, i);
      if (distance <= pattern.chunk_length) return true;
    }
    return false;
  }

  /// The mean over all queries but the first.
  double found_mass() const {
    double sum = 0;
    for (int64_t i = 1; i < kLength; ++i) {
      double found = 0;
      double total = 0;
      for (int64_t j = 0; j < i; ++j) {
        double product = 0;
        double squares = 0;
        for (int64_t d = 0; d < 6; ++d) {
          const double k = query.data<float>()[j * 6 + d];
          product += query.data<float>()[i * 6 + d] * k;
          squares += k * k;
        }
        const double weight = std::exp(product / std::sqrt(squares));
        total += weight;
        if (sees(i, j)) found += weight;
      }
      sum += found / total;
    }
    return sum / (kLength - 1);
  }

  ModelSpec spec;
  Tensor query, order, bucket_begin;
  std::vector<int32_t> bucket_of;  // [R, T]
};

TEST(LshHealthTest, FindsTheShareOfAttentionThatIsSeen) {
  for (const int64_t rounds : {1, 3}) {
    for (const int64_t chunk_length : {2, 100}) {
      Problem problem(AttentionKind::kStrict, rounds, chunk_length);
      EXPECT_NEAR(problem.look().found_mass, problem.found_mass(), 0.02)
          << rounds << " rounds, chunks of " << chunk_length;
    }
  }
}

TEST(LshHealthTest, OneBucketAndALongWindowFindEverything) {
  for (const AttentionKind kind : {AttentionKind::kStrict, AttentionKind::kChunked}) {
    Problem problem(kind, 2, kLength);
    std::fill(problem.bucket_of.begin(), problem.bucket_of.end(), 3);
    const HeadHealth health = problem.look(50);
    EXPECT_DOUBLE_EQ(health.found_mass, 1);
    EXPECT_EQ(health.window_overflow, 0);
    EXPECT_DOUBLE_EQ(health.occupied_buckets, 1.0 / kBuckets);
    EXPECT_DOUBLE_EQ(health.largest_bucket, kBuckets);
  }
}

TEST(LshHealthTest, CountsWhatTheWindowCutsOff) {
  Problem problem(AttentionKind::kStrict, 1, 10);
  for (size_t i = 0; i < problem.bucket_of.size(); ++i) problem.bucket_of[i] = i < 20 ? 0 : 1;
  const HeadHealth health = problem.look(1);
  // 20 tokens, of which the last 9 see not all before them, and 40, of which the last 29.
  EXPECT_DOUBLE_EQ(health.window_overflow, (9.0 + 29.0) / kLength);
  EXPECT_DOUBLE_EQ(health.occupied_buckets, 2.0 / kBuckets);
  EXPECT_DOUBLE_EQ(health.largest_bucket, 40.0 * kBuckets / kLength);
}

TEST(LshHealthTest, EqualBucketsAreOneTimesTheMean) {
  Problem problem(AttentionKind::kStrict, 1, 10);
  for (size_t i = 0; i < problem.bucket_of.size(); ++i) {
    problem.bucket_of[i] = static_cast<int32_t>(i) % 4 * 2;
  }
  EXPECT_DOUBLE_EQ(problem.look(1).largest_bucket, 15.0 * kBuckets / kLength);
}

TEST(LshHealthTest, OtherLayersHaveNoHash) {
  Problem problem(AttentionKind::kStrict, 1, 10);
  problem.spec.layers[0].attention.kind = AttentionKind::kFull;
  LshHealth health(problem.spec, 4, 1);
  SelfCommunicator alone;
  EXPECT_TRUE(health.result(alone).empty());
}

TEST(LshHealthTest, SaysWhichHeadFindsLeast) {
  const std::vector<HeadHealth> health{{.layer = 1, .head = 0, .found_mass = 0.75},
                                       {.layer = 3, .head = 1, .found_mass = 0.25}};
  EXPECT_EQ(summarize(health), "LSH finds 50.0% of the attention, least 25.0% in layer 3, head 1");
  EXPECT_NE(describe(health).find("25.0%"), std::string::npos);
}

}  // namespace
}  // namespace reformer
