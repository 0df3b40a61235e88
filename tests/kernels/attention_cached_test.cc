// attend_cached against its twin in double precision.
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/backend_under_test.h"
#include "tests/kernels/op_testing.h"
#include "tests/reference/attention.h"

namespace reformer {
namespace {

using testing::Doubles;
using Random = testing::ActivationRandom;
using testing::relative_error;
using testing::same_bits;
using testing::to_doubles;

// Largest error relative to the largest element. BFloat16 has 8 bits for the results.
const double kBound = testing::bound(2e-6, 4e-3);

struct CachedCase {
  AttentionKind kind = AttentionKind::kStrict;
  int64_t queries = 1;
  int64_t sequences = 1;
  int64_t capacity = 1;
  int64_t heads = 1;
  int64_t head_dim = 1;
  int64_t most = 1;
  float query_deviation = 1;
};

struct CachedProblem {
  explicit CachedProblem(const CachedCase& c, uint64_t seed = 7) {
    Random random(seed);
    pattern.kind = c.kind;
    pattern.heads = c.heads;
    pattern.head_dim = c.head_dim;
    const int64_t inner = c.heads * c.head_dim;
    query = random.normal({c.queries, inner}, c.query_deviation);
    value = random.normal({c.queries, inner});
    keys = random.normal({c.sequences, c.capacity, inner});
    values = random.normal({c.sequences, c.capacity, inner});
    sequence = random.integers({c.queries}, 0, static_cast<int32_t>(c.sequences - 1));
    seen = random.integers({c.queries, c.heads, c.most}, 0, static_cast<int32_t>(c.capacity - 1));
    seen_count = random.integers({c.queries, c.heads}, 0, static_cast<int32_t>(c.most));
    seen_count.data<int32_t>()[0] = 0;
    out = Tensor(DType::kFloat32, {c.queries, inner});
  }

  AttendCachedArgs args() const {
    return {.pattern = pattern,
            .query = query.view(),
            .value = value.view(),
            .keys = keys.view(),
            .values = values.view(),
            .sequence = sequence.view(),
            .seen = seen.view(),
            .seen_count = seen_count.view(),
            .out = out.view()};
  }

  const Tensor& run(int threads) {
    const auto backend = testing::make_backend_under_test(threads);
    std::fill_n(out.data<float>(), out.elements(), 1e30f);
    backend->attend_cached(args());
    return out;
  }

  AttentionPattern pattern;
  Tensor query, value, keys, values, sequence, seen, seen_count, out;
};

TEST(AttentionCachedTest, EqualsTheReference) {
  for (const AttentionKind kind : {AttentionKind::kStrict, AttentionKind::kChunked,
                                   AttentionKind::kLocal, AttentionKind::kFull}) {
    for (const CachedCase& c :
         std::vector<CachedCase>{{.kind = kind},
                                 {.kind = kind,
                                 .queries = 3,
                                 .sequences = 2,
                                 .capacity = 9,
                                 .heads = 2,
                                 .head_dim = 7,
                                 .most = 5},
                                 {.kind = kind,
                                 .queries = 5,
                                 .sequences = 4,
                                 .capacity = 300,
                                 .heads = 3,
                                 .head_dim = 64,
                                 .most = 700},
                                 // Scores of hundreds: all weight on few keys.
                                 {.kind = kind,
                                 .queries = 4,
                                 .sequences = 1,
                                 .capacity = 40,
                                 .heads = 1,
                                 .head_dim = 33,
                                 .most = 40,
                                 .query_deviation = 100}}) {
      CachedProblem problem(c);
      EXPECT_LT(
          relative_error(to_doubles(problem.run(1)), reference::attend_cached(problem.args())),
          kBound)
          << "D " << c.head_dim;
    }
  }
}

TEST(AttentionCachedTest, GivesAQueryWithoutKeysItsOwnValue) {
  CachedProblem problem({.capacity = 4, .head_dim = 5, .most = 3});
  EXPECT_TRUE(same_bits(problem.run(1).view(), problem.value.view()));
}

TEST(AttentionCachedTest, CountsAKeyAsOftenAsItIsListed) {
  CachedProblem problem({.capacity = 2, .head_dim = 4, .most = 3});
  problem.seen_count.data<int32_t>()[0] = 3;
  const int32_t listed[] = {0, 1, 1};
  std::copy_n(listed, 3, problem.seen.data<int32_t>());
  std::fill_n(problem.query.data<float>(), 4, 0.0f);  // equal scores
  const float* const out = problem.run(1).data<float>();
  const float* const v = problem.values.data<float>();
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(out[i], (v[i] + 2 * v[4 + i]) / 3, kBound);
}

TEST(AttentionCachedTest, AKeyWithoutDirectionHasScoreZero) {
  CachedProblem problem({.capacity = 2, .head_dim = 4, .most = 2});
  problem.seen_count.data<int32_t>()[0] = 2;
  problem.seen.data<int32_t>()[0] = 0;
  problem.seen.data<int32_t>()[1] = 1;
  std::fill_n(problem.keys.data<float>(), 4, 0.0f);
  EXPECT_LT(relative_error(to_doubles(problem.run(1)), reference::attend_cached(problem.args())),
            kBound);
}

TEST(AttentionCachedTest, NotANumberIsNotHidden) {
  CachedProblem problem({.capacity = 3, .head_dim = 4, .most = 3});
  problem.seen_count.data<int32_t>()[0] = 3;
  for (int32_t k = 0; k < 3; ++k) problem.seen.data<int32_t>()[k] = k;
  problem.keys.data<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(problem.run(1).data<float>()[0]));
}

TEST(AttentionCachedTest, ThreadsAndNeighboursChangeNoBit) {
  const CachedCase all{
      .queries = 6, .sequences = 3, .capacity = 50, .heads = 4, .head_dim = 20, .most = 60};
  CachedProblem problem(all);
  const Tensor one = testing::copy_of(problem.run(1));
  EXPECT_TRUE(same_bits(one.view(), problem.run(3).view()));
  // The third query alone.
  AttendCachedArgs args = problem.args();
  for (View* view :
       {&args.query, &args.value, &args.sequence, &args.seen, &args.seen_count, &args.out}) {
    *view = view->rows(2, 3);
  }
  std::fill_n(args.out.data<float>(), args.out.elements(), 0.0f);
  const auto backend = testing::make_backend_under_test(1);
  backend->attend_cached(args);
  EXPECT_TRUE(same_bits(args.out, one.view().rows(2, 3)));
}

}  // namespace
}  // namespace reformer
