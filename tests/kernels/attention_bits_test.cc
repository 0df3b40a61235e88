// What attention promises to the last bit: nothing leaks from later tokens, and threads and the
// grouping of the batch change nothing.
#include <cmath>
#include <functional>
#include <tuple>

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

/// Later tokens move the slots of kStrict, and so the keys that tensor cores add up at a time: what
/// is the same may differ in the last place. A leak is as large as the output.
double tolerance(const AttentionCase& config) {
  return is_hashed(config.pattern.kind) ? testing::bound(0, 0.03) : 0;
}

bool same_up_to(double tolerance, const View& a, const View& b) {
  for (int64_t i = 0; i < a.elements(); ++i) {
    const auto x = static_cast<double>(a.data<float>()[i]);
    const auto y = static_cast<double>(b.data<float>()[i]);
    if (!(std::abs(x - y) <= tolerance * std::max(1.0, std::abs(x)))) return false;
  }
  return tolerance > 0 || testing::same_bits(a, b);
}

/// Rows of out and lse up to and including position `last` that differ. One sample.
int64_t differing_rows(const AttentionCase& config, const AttentionProblem& a,
                       const AttentionProblem& b, int64_t last) {
  int64_t differing = 0;
  for (int64_t position = 0; position <= last; ++position) {
    const auto row = [&](const Tensor& tensor) {
      return tensor.view().rows(position, position + 1);
    };
    bool same = same_up_to(tolerance(config), row(a.out), row(b.out));
    for (int64_t head = 0; head < config.pattern.heads; ++head) {
      const auto element = [&](const Tensor& tensor) {
        const int64_t at = head * config.length + position;
        return tensor.view().reshape({tensor.elements()}).rows(at, at + 1);
      };
      same = same && same_up_to(tolerance(config), element(a.lse), element(b.lse));
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

/// Widths of heads: any, and one that tensor cores take.
constexpr int64_t kNarrow = 20;
constexpr int64_t kWide = 32;

AttentionCase leak_case(AttentionKind kind, int64_t head_dim) {
  return {.name = "leak",
          .pattern = {.kind = kind,
                      .causal = true,
                      .heads = 2,
                      .head_dim = head_dim,
                      .rounds = is_hashed(kind) ? 3 : 1,
                      .chunk_length = 24},
          .length = testing::length_under_test(700, 200),
          .num_buckets = kBuckets};
}

using KindAndWidth = std::tuple<AttentionKind, int64_t>;

class LeakTest : public ::testing::TestWithParam<KindAndWidth> {};

TEST_P(LeakTest, LaterTokensChangeNoBit) {
  AttentionCase config = std::apply(leak_case, GetParam());
  EXPECT_EQ(leaks(config), 0);
  config.query_deviation = 10;  // offsets are largest scores
  EXPECT_EQ(leaks(config), 0);
  config.query_deviation = 1;
  config.dropout = 0.2f;
  config.pattern.correct_duplicates = true;
  EXPECT_EQ(leaks(config), 0);
}
INSTANTIATE_TEST_SUITE_P(CausalKinds, LeakTest,
                         ::testing::Combine(::testing::Values(AttentionKind::kStrict,
                                                              AttentionKind::kLocal,
                                                              AttentionKind::kFull),
                                            ::testing::Values(kNarrow, kWide)));

class WidthLeakTest : public ::testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Widths, WidthLeakTest, ::testing::Values(kNarrow, kWide));

TEST_P(WidthLeakTest, ChunkedLeaksAndTheTestSeesIt) {
  // Of 1 + 2 + T / 3 + 1 + T − 1 rows.
  const AttentionCase config = leak_case(AttentionKind::kChunked, GetParam());
  EXPECT_GT(leaks(config), config.length * 2 / 5);
}

TEST_P(WidthLeakTest, StrictRowsOfAPrefixAreThoseOfTheWholeSequence) {
  AttentionCase config = leak_case(AttentionKind::kStrict, GetParam());
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
    EXPECT_TRUE(same_up_to(tolerance(config), prefix.out.view(), whole.out.view().rows(0, length)));
  }
}

TEST(UnderflowTest, SumsThatUnderflowHaveNoSign) {
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

class BitsTest : public ::testing::TestWithParam<KindAndWidth> {
 protected:
  AttentionCase config() const {
    const auto [kind, head_dim] = GetParam();
    const bool hashed = is_hashed(kind);
    return {.name = "bits",
            .pattern = {.kind = kind,
                        .causal = kind == AttentionKind::kStrict,
                        .heads = 2,
                        .head_dim = head_dim,
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

TEST_P(BitsTest, DoNotDependOnThreads) {
  AttentionProblem one(config());
  AttentionProblem three(config());
  one.run(1);
  three.run(3);
  for (const auto& [name, result] : testing::attention_results()) {
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
    for (const auto& [name, result] : testing::attention_results()) {
      View expected = (batch.*result).view();
      View actual = (same.*result).view();
      take(expected);
      take(actual);
      EXPECT_TRUE(testing::same_bits(actual, expected)) << name << " of sample " << sample;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(
    AllKinds, BitsTest,
    ::testing::Combine(::testing::Values(AttentionKind::kStrict, AttentionKind::kChunked,
                                         AttentionKind::kLocal, AttentionKind::kFull),
                       ::testing::Values(int64_t{11}, kWide)));

}  // namespace
}  // namespace reformer
