// What attention promises to the last bit: nothing leaks from later tokens, and threads and the
// grouping of the batch change nothing.
#include <functional>

#include <cblas.h>

#include "tests/kernels/attention_testing.h"
#include "tests/kernels/backend_under_test.h"

namespace reformer {
namespace {

using testing::AttentionCase;
using testing::AttentionProblem;

constexpr int64_t kBuckets = 10;

/// Hashes and sorts as the model does, with the rotations of `seed`.
void hash_and_sort(const AttentionCase& config, AttentionProblem& problem, uint64_t seed) {
  if (!is_hashed(config.pattern.kind)) return;
  const AttentionPattern& pattern = config.pattern;
  const auto backend = testing::make_backend_under_test(1);
  testing::Random random(seed);
  const Tensor rotations =
      random.normal({pattern.heads, pattern.head_dim, pattern.rounds * kBuckets / 2});
  const std::vector<int64_t> buckets = {kBuckets};
  backend->lsh_hash({.layout = problem.args().layout,
                     .heads = pattern.heads,
                     .rounds = pattern.rounds,
                     .buckets = buckets,
                     .query_key = problem.query.view(),
                     .rotations = rotations.view(),
                     .mask = problem.args().mask,
                     .bucket_of = problem.bucket_of.view()});
  backend->bucket_sort({.num_buckets = kBuckets,
                        .bucket_of = problem.bucket_of.view(),
                        .order = problem.order.view(),
                        .bucket_begin = problem.bucket_begin.view()});
}

/// Rows of out and lse up to and including position `last` that differ. One sample.
int64_t differing_rows(const AttentionCase& config, const AttentionProblem& a,
                       const AttentionProblem& b, int64_t last) {
  int64_t differing = 0;
  for (int64_t position = 0; position <= last; ++position) {
    bool same = testing::same_bits(a.out.view().rows(position, position + 1),
                                   b.out.view().rows(position, position + 1));
    for (int64_t head = 0; head < config.pattern.heads; ++head) {
      const int64_t at = head * config.length + position;
      same = same &&
             std::memcmp(a.lse.data<float>() + at, b.lse.data<float>() + at, sizeof(float)) == 0;
    }
    differing += same ? 0 : 1;
  }
  return differing;
}

/// Changes all tokens after several positions and counts the rows before that notice.
int64_t leaks(const AttentionCase& config) {
  openblas_set_num_threads(1);
  const auto backend = testing::make_backend_under_test(1);
  AttentionProblem problem(config);
  hash_and_sort(config, problem, 7);
  backend->attention(problem.args());
  const int64_t width = problem.query.shape()[1];
  int64_t differing = 0;
  for (const int64_t last : {int64_t{0}, int64_t{1}, config.length / 3, config.length - 2}) {
    AttentionProblem changed(config);
    testing::Random random(static_cast<uint64_t>(last));
    for (const Tensor* tensor : {&changed.query, &changed.key, &changed.value}) {
      if (!tensor->view().defined()) continue;
      const Tensor other = random.normal(tensor->shape(), 3.0f);
      std::copy(other.data<float>() + (last + 1) * width,
                other.data<float>() + config.length * width,
                tensor->data<float>() + (last + 1) * width);
    }
    hash_and_sort(config, changed, 7);
    backend->attention(changed.args());
    differing += differing_rows(config, problem, changed, last);
  }
  return differing;
}

AttentionCase leak_case(AttentionKind kind) {
  return {.name = "leak",
          .pattern = {.kind = kind,
                      .causal = true,
                      .heads = 2,
                      .head_dim = 20,
                      .rounds = is_hashed(kind) ? 3 : 1,
                      .chunk_length = 24},
          .length = testing::length_under_test(700, 200),
          .num_buckets = kBuckets};
}

class LeakTest : public ::testing::TestWithParam<AttentionKind> {};

TEST_P(LeakTest, LaterTokensChangeNoBit) {
  AttentionCase config = leak_case(GetParam());
  EXPECT_EQ(leaks(config), 0);
  config.query_deviation = 10;  // offsets are largest scores
  EXPECT_EQ(leaks(config), 0);
  config.query_deviation = 1;
  config.dropout = 0.2f;
  config.pattern.correct_duplicates = true;
  EXPECT_EQ(leaks(config), 0);
}
INSTANTIATE_TEST_SUITE_P(CausalKinds, LeakTest,
                         ::testing::Values(AttentionKind::kStrict, AttentionKind::kLocal,
                                           AttentionKind::kFull));

TEST(LeakTest, ChunkedLeaksAndTheTestSeesIt) {
  // Of 1 + 2 + T / 3 + 1 + T − 1 rows.
  const AttentionCase config = leak_case(AttentionKind::kChunked);
  EXPECT_GT(leaks(config), config.length * 2 / 5);
}

TEST(LeakTest, StrictRowsOfAPrefixAreThoseOfTheWholeSequence) {
  AttentionCase config = leak_case(AttentionKind::kStrict);
  AttentionProblem whole(config);
  const auto backend = testing::make_backend_under_test(1);
  backend->attention(whole.args());
  AttentionCase prefix_config = config;
  for (const int64_t length : {int64_t{1}, config.length / 7, config.length * 3 / 4}) {
    prefix_config.length = length;
    AttentionProblem prefix(prefix_config);
    const int64_t width = whole.query.shape()[1];
    std::copy_n(whole.query.data<float>(), length * width, prefix.query.data<float>());
    std::copy_n(whole.value.data<float>(), length * width, prefix.value.data<float>());
    for (int64_t list = 0; list < config.pattern.heads * config.pattern.rounds; ++list) {
      std::copy_n(whole.bucket_of.data<int32_t>() + list * config.length, length,
                  prefix.bucket_of.data<int32_t>() + list * length);
    }
    prefix.sort();
    backend->attention(prefix.args());
    EXPECT_TRUE(testing::same_bits(prefix.out.view(), whole.out.view().rows(0, length)));
  }
}

TEST(LeakTest, SumsThatUnderflowHaveNoSign) {
  // Token 1 sees only token 0, and weight times value is nearer to −0 than to any other float.
  const auto first_output = [](int64_t length) {
    AttentionProblem problem({.name = "underflow",
                              .pattern = {.kind = AttentionKind::kStrict, .head_dim = 1},
                              .length = length,
                              .num_buckets = 1});
    std::fill_n(problem.query.data<float>(), length, 1.0f);
    problem.query.data<float>()[0] = -1.0f;
    std::fill_n(problem.value.data<float>(), length, 1.0f);
    problem.value.data<float>()[0] = -std::numeric_limits<float>::denorm_min();
    problem.run(1);
    return problem.out.data<float>()[1];
  };
  EXPECT_EQ(std::signbit(first_output(2)), std::signbit(first_output(20)));
}

class BitsTest : public ::testing::TestWithParam<AttentionKind> {
 protected:
  AttentionCase config() const {
    const bool hashed = is_hashed(GetParam());
    return {.name = "bits",
            .pattern = {.kind = GetParam(),
                        .causal = GetParam() == AttentionKind::kStrict,
                        .heads = 2,
                        .head_dim = 11,
                        .rounds = hashed ? 3 : 1,
                        .chunk_length = 20,
                        .correct_duplicates = true},
            .samples = 3,
            .length = testing::length_under_test(600, 150),
            .first_sample = 4,
            .query_deviation = 8,
            .masked = 0.05,
            .dropout = 0.1f};
  }
};

std::vector<std::pair<std::string, Tensor AttentionProblem::*>> results() {
  return {{"out", &AttentionProblem::out},
          {"lse", &AttentionProblem::lse},
          {"dquery", &AttentionProblem::dquery},
          {"dkey", &AttentionProblem::dkey},
          {"dvalue", &AttentionProblem::dvalue}};
}

TEST_P(BitsTest, DoNotDependOnThreads) {
  AttentionProblem one(config());
  AttentionProblem three(config());
  one.run(1);
  three.run(3);
  for (const auto& [name, result] : results()) {
    EXPECT_TRUE(testing::same_bits((one.*result).view(), (three.*result).view())) << name;
  }
}

TEST_P(BitsTest, DoNotDependOnTheGroupingOfTheBatch) {
  AttentionProblem batch(config());
  batch.run(2);
  const auto backend = testing::make_backend_under_test(2);
  for (int64_t sample = 0; sample < 3; ++sample) {
    AttentionProblem same(config());
    AttentionBackwardArgs args = same.backward_args();
    args.forward.layout.samples = 1;
    args.forward.layout.first_sample += sample;
    const auto take = [&](View& view) {
      if (!view.defined()) return;
      const int64_t share = view.shape()[0] / 3;
      view = view.rows(sample * share, (sample + 1) * share);
    };
    AttentionArgs& forward = args.forward;
    for (View* view : {&forward.query, &forward.key, &forward.value, &forward.order,
                       &forward.bucket_begin, &forward.mask, &forward.out, &forward.lse, &args.dout,
                       &args.dquery, &args.dkey, &args.dvalue}) {
      take(*view);
    }
    backend->attention(forward);
    backend->attention_backward(args);
    for (const auto& [name, result] : results()) {
      View expected = (batch.*result).view();
      View actual = (same.*result).view();
      take(expected);
      take(actual);
      EXPECT_TRUE(testing::same_bits(actual, expected)) << name << " of sample " << sample;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(AllKinds, BitsTest,
                         ::testing::Values(AttentionKind::kStrict, AttentionKind::kChunked,
                                           AttentionKind::kLocal, AttentionKind::kFull));

}  // namespace
}  // namespace reformer
