// Attention against the paper's formula: values, and gradients by finite differences of it.
#include <functional>

#include "kernels/lsh_layout.h"
#include "tests/kernels/attention_testing.h"

namespace reformer {
namespace {

using testing::AttentionCase;
using testing::AttentionProblem;
using testing::Doubles;
using testing::to_doubles;

// Largest error relative to the largest element. Scores of long queries lose absolute accuracy:
// ‖q‖ = 140 has steps of 1.5e-5. BFloat16 keeps 8 bits of weights and results.
const double kOutBound = testing::bound(3e-6, 8e-3);
const double kLseBound = testing::bound(1e-6, 1e-5);
const double kGradientBound = testing::bound(5e-6, 2e-2);
// Gradients that cancel to 0 keep the rounding of their terms.
const double kGradientFloor = testing::bound(0.1, 1);
const double kLongQueryBound = testing::bound(2e-5, 3e-2);

constexpr AttentionKind kStrict = AttentionKind::kStrict;
constexpr AttentionKind kChunked = AttentionKind::kChunked;
constexpr AttentionKind kLocal = AttentionKind::kLocal;
constexpr AttentionKind kFull = AttentionKind::kFull;

double bound_for(const AttentionCase& config, double bound) {
  return config.query_deviation > 2 ? kLongQueryBound : bound;
}

reference::AttentionInputs inputs_of(const AttentionProblem& problem) {
  return {.query = to_doubles(problem.query),
          .key = to_doubles(problem.key),
          .value = to_doubles(problem.value)};
}

void expect_forward(const AttentionCase& config, const AttentionProblem& problem) {
  const reference::AttentionOutputs expected =
      reference::attention(problem.args(), problem.bucket_of.view(), inputs_of(problem));
  EXPECT_LT(testing::relative_error(to_doubles(problem.out), expected.out),
            bound_for(config, kOutBound));
  double lse_error = 0;
  for (size_t i = 0; i < expected.lse.size(); ++i) {
    const float lse = problem.lse.data<float>()[i];
    if (expected.lse[i] < -5e4) {
      EXPECT_EQ(lse, kSelfScore);
    } else {
      const double error = std::abs(static_cast<double>(lse) - expected.lse[i]);
      lse_error = std::max(lse_error, error / std::max(1.0, std::abs(expected.lse[i])));
      EXPECT_FALSE(std::isnan(lse));
    }
  }
  EXPECT_LT(lse_error, kLseBound);
}

/// One input of the op and the gradient that it got.
struct Direction {
  Doubles reference::AttentionInputs::*input;
  const Tensor* gradient;
};

std::vector<Direction> directions_of(const AttentionProblem& problem) {
  std::vector<Direction> directions = {{&reference::AttentionInputs::query, &problem.dquery},
                                       {&reference::AttentionInputs::value, &problem.dvalue}};
  if (problem.key.view().defined()) {
    directions.push_back({&reference::AttentionInputs::key, &problem.dkey});
  }
  return directions;
}

/// Σ out · dout of the reference.
double loss_at(const AttentionProblem& problem, const reference::AttentionInputs& inputs) {
  return testing::weighted_sum(
      reference::attention(problem.args(), problem.bucket_of.view(), inputs).out,
      to_doubles(problem.dout));
}

void expect_gradient_elements(const AttentionCase& config, const AttentionProblem& problem) {
  for (const Direction& direction : directions_of(problem)) {
    const reference::AttentionInputs inputs = inputs_of(problem);
    const Doubles expected = testing::finite_differences(
        [&](const Doubles& at) {
          reference::AttentionInputs moved = inputs;
          moved.*direction.input = at;
          return loss_at(problem, moved);
        },
        inputs.*direction.input);
    EXPECT_LT(testing::relative_error(to_doubles(*direction.gradient), expected, kGradientFloor),
              bound_for(config, kGradientBound));
  }
}

/// Derivatives in random directions. The unit key has none where the key is 0, so those rows stay.
void expect_gradient_directions(const AttentionCase& config, const AttentionProblem& problem) {
  testing::Random random(99);
  for (const Direction& direction : directions_of(problem)) {
    for (int trial = 0; trial < 3; ++trial) {
      const reference::AttentionInputs inputs = inputs_of(problem);
      const Doubles& at = inputs.*direction.input;
      Doubles step = to_doubles(random.normal(direction.gradient->shape()));
      const auto width = static_cast<size_t>(direction.gradient->shape()[1]);
      for (size_t i = 0; i < step.size(); ++i) {
        if (inputs.query[i] == 0) std::fill_n(&step[i / width * width], width, 0.0);
      }
      const auto loss = [&](double distance) {
        reference::AttentionInputs moved = inputs;
        for (size_t i = 0; i < at.size(); ++i) {
          (moved.*direction.input)[i] = at[i] + distance * step[i];
        }
        return loss_at(problem, moved);
      };
      constexpr double kStep = 1e-6;
      const double expected = (loss(kStep) - loss(-kStep)) / (2 * kStep);
      double actual = 0;
      double size = 0;
      for (size_t i = 0; i < at.size(); ++i) {
        const double term = static_cast<double>(direction.gradient->data<float>()[i]) * step[i];
        ASSERT_TRUE(std::isfinite(term));
        actual += term;
        size += term * term;
      }
      EXPECT_LT(std::abs(actual - expected),
                bound_for(config, kGradientBound) *
                    (std::sqrt(size) + kGradientFloor * std::sqrt(static_cast<double>(at.size()))))
          << actual << " vs " << expected;
    }
  }
}

/// Masked tokens and tokens that saw nobody else are exact.
void expect_exact_rows(const AttentionCase& config, const AttentionProblem& problem) {
  const int64_t heads = config.pattern.heads;
  const int64_t width = config.pattern.head_dim;
  for (int64_t i = 0; i < problem.lse.elements(); ++i) {
    const int64_t sample = i / (heads * config.length);
    const int64_t row = sample * config.length + i % config.length;
    const int64_t at = row * heads * width + i / config.length % heads * width;
    const bool alone = problem.lse.data<float>()[i] == kSelfScore;
    if (!problem.is_masked(row) && !alone) continue;
    for (int64_t d = at; d < at + width; ++d) {
      EXPECT_EQ(problem.out.data<float>()[d], alone ? problem.value.data<float>()[d] : 0.0f);
      if (!alone) {
        EXPECT_EQ(problem.dquery.data<float>()[d], 0.0f);
        EXPECT_EQ(problem.dvalue.data<float>()[d], 0.0f);
        EXPECT_EQ(problem.lse.data<float>()[i], 0.0f);
      }
    }
  }
}

class AttentionTest : public ::testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionTest, EqualsThePaper) {
  const AttentionCase& config = GetParam();
  AttentionProblem problem(config);
  problem.run(2);
  expect_forward(config, problem);
  expect_exact_rows(config, problem);
  if (config.zero == 0 && problem.query.elements() <= 400) {
    expect_gradient_elements(config, problem);
  } else {
    expect_gradient_directions(config, problem);
  }
}

/// Every kind, causal or not, with every option, on a small shape.
std::vector<AttentionCase> small_cases() {
  std::vector<AttentionCase> cases;
  for (const AttentionKind kind : {kStrict, kChunked, kLocal, kFull}) {
    for (const bool causal : {true, false}) {
      if (kind == kStrict && !causal) continue;
      for (const int64_t rounds : {1, 2, 3, 5}) {
        if (rounds > 1 && !is_hashed(kind)) continue;
        for (const bool same_bucket : {false, true}) {
          if (same_bucket && kind != kChunked) continue;
          for (const bool correct : {false, true}) {
            if (correct && rounds == 1) continue;
            cases.push_back({.name = "small",
                             .pattern = {.kind = kind,
                                         .causal = causal,
                                         .heads = 2,
                                         .head_dim = 3,
                                         .rounds = rounds,
                                         .chunk_length = 4,
                                         .same_bucket_only = same_bucket,
                                         .correct_duplicates = correct},
                             .samples = 2,
                             .length = rounds == 5 ? 11 : 17,
                             .first_sample = 5,
                             .masked = rounds == 3 ? 0.2 : 0,
                             .dropout = rounds == 2 || rounds == 5 ? 0.3f : 0});
          }
        }
      }
    }
  }
  for (const AttentionKind kind : {kLocal, kFull}) {
    cases.push_back({.name = "masked",
                     .pattern = {.kind = kind, .causal = false, .head_dim = 3, .chunk_length = 5},
                     .samples = 2,
                     .length = 17,
                     .masked = 0.3,
                     .dropout = 0.5f});
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Small, AttentionTest, ::testing::ValuesIn(small_cases()));

/// One or two chunks in all, chunks longer than the sequence, and lone tokens.
std::vector<AttentionCase> edge_cases() {
  std::vector<AttentionCase> cases;
  for (const AttentionKind kind : {kStrict, kChunked, kLocal, kFull}) {
    for (const int64_t length : {1, 2, 5, 9}) {
      for (const int64_t rounds : {1, 2, 3}) {
        if (rounds > 1 && !is_hashed(kind)) continue;
        cases.push_back({.name = "few chunks",
                         .pattern = {.kind = kind,
                                     .causal = kind == kStrict,
                                     .head_dim = 2,
                                     .rounds = rounds,
                                     .chunk_length = 5,
                                     .correct_duplicates = rounds == 2},
                         .length = length,
                         .num_buckets = 2});
      }
    }
    cases.push_back({.name = "chunk longer than the sequence",
                     .pattern = {.kind = kind, .head_dim = 1, .chunk_length = 1000},
                     .length = 20,
                     .num_buckets = 2});
    cases.push_back({.name = "chunks of one",
                     .pattern = {.kind = kind, .head_dim = 1, .chunk_length = 1},
                     .length = 20,
                     .num_buckets = 2});
  }
  cases.push_back({.name = "each alone",
                   .pattern = {.kind = kStrict, .head_dim = 4, .rounds = 5, .chunk_length = 4},
                   .length = 21,
                   .dropout = 0.5f,
                   .each_alone = true});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Edges, AttentionTest, ::testing::ValuesIn(edge_cases()));

/// Heads wider than what a device adds up at a time, in widths that are no multiple of anything.
std::vector<AttentionCase> widest_cases() {
  std::vector<AttentionCase> cases;
  for (const AttentionKind kind : {kStrict, kLocal}) {
    cases.push_back({.name = "between 32 and 64",
                     .pattern = {.kind = kind,
                                 .head_dim = 49,
                                 .rounds = is_hashed(kind) ? 2 : 1,
                                 .chunk_length = 9},
                     .length = 50,
                     .dropout = 0.2f});
  }
  for (const AttentionKind kind : {kStrict, kChunked, kLocal, kFull}) {
    cases.push_back({.name = "widest",
                     .pattern = {.kind = kind,
                                 .head_dim = kind == kStrict ? 256 : 131,
                                 .rounds = is_hashed(kind) ? 3 : 1,
                                 .chunk_length = 23,
                                 .correct_duplicates = true},
                     .length = 70,
                     .query_deviation = 0.5f,
                     .dropout = 0.2f});
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Widest, AttentionTest, ::testing::ValuesIn(widest_cases()));

/// Several segments, panels and tiles; widths around the vector length; long and zero queries.
std::vector<AttentionCase> large_cases() {
  std::vector<AttentionCase> cases;
  for (const AttentionKind kind : {kStrict, kChunked, kLocal, kFull}) {
    const int64_t rounds = is_hashed(kind) ? 2 : 1;
    const auto add = [&](int64_t width, int64_t length, int64_t chunk, float deviation,
                         int64_t buckets) {
      cases.push_back({.name = "large",
                       .pattern = {.kind = kind,
                                   .causal = kind == kStrict || width == 8,
                                   .head_dim = width,
                                   .rounds = rounds,
                                   .chunk_length = chunk,
                                   .correct_duplicates = width == 64},
                       .length = length,
                       .num_buckets = buckets,
                       .query_deviation = deviation,
                       .masked = width == 8 ? 0.1 : 0,
                       .zero = width == 64 ? 0.1 : 0,
                       .dropout = width == 8 ? 0.2f : 0});
    };
    add(8, 300, 31, 1, 7);
    add(64, 270, 64, 1, 4);
    add(128, 150, 40, 12, 3);  // ‖q‖ up to 140 and beyond: largest scores, not norms
    add(20, 700, 600, 7, 1);   // one bucket, several panels, norms on both sides of the limit
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Large, AttentionTest, ::testing::ValuesIn(large_cases()));

/// Widths of heads that tensor cores take, in BFloat16: several tiles of 64 slots, and of each kind
/// every option.
std::vector<AttentionCase> wide_cases() {
  std::vector<AttentionCase> cases;
  for (const AttentionKind kind : {kStrict, kChunked, kLocal, kFull}) {
    for (const bool causal : {true, false}) {
      if (kind == kStrict && !causal) continue;
      for (const int64_t rounds : {1, 2, 3}) {
        if (rounds > 1 && !is_hashed(kind)) continue;
        for (const bool same_bucket : {false, true}) {
          if (same_bucket && kind != kChunked) continue;
          cases.push_back({.name = "wide",
                           .pattern = {.kind = kind,
                                       .causal = causal,
                                       .heads = 2,
                                       .head_dim = rounds == 1 ? 64 : 32,
                                       .rounds = rounds,
                                       .chunk_length = rounds == 1 ? 64 : 41,
                                       .same_bucket_only = same_bucket,
                                       .correct_duplicates = rounds == 3},
                           .samples = 2,
                           .length = rounds == 1 ? 150 : 107,
                           .first_sample = 5,
                           .masked = rounds == 1 ? 0.1 : 0,
                           .dropout = rounds == 2 ? 0.3f : 0});
        }
      }
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Wide, AttentionTest, ::testing::ValuesIn(wide_cases()));

/// The same widths at the ends of tiles, chunks and rings.
std::vector<AttentionCase> wide_edge_cases() {
  std::vector<AttentionCase> cases;
  for (const AttentionKind kind : {kStrict, kChunked, kLocal, kFull}) {
    for (const int64_t length : {1, 5, 64, 65, 130}) {
      cases.push_back({.name = "wide edges",
                       .pattern = {.kind = kind,
                                   .causal = kind == kStrict,
                                   .head_dim = 32,
                                   .rounds = is_hashed(kind) ? 2 : 1,
                                   .chunk_length = 64,
                                   .correct_duplicates = length == 65},
                       .length = length,
                       .num_buckets = 2,
                       .dropout = 0.2f});
    }
    cases.push_back({.name = "wide, chunk longer than the sequence",
                     .pattern = {.kind = kind, .head_dim = 32, .chunk_length = 1000},
                     .length = 200,
                     .num_buckets = 2});
    cases.push_back({.name = "wide, chunks of one",
                     .pattern = {.kind = kind, .head_dim = 32, .chunk_length = 1},
                     .length = 70,
                     .num_buckets = 2});
    cases.push_back({.name = "wide, masked",
                     .pattern = {.kind = kind,
                                 .causal = kind == kStrict,
                                 .head_dim = 128,
                                 .rounds = is_hashed(kind) ? 2 : 1,
                                 .chunk_length = 33,
                                 .correct_duplicates = true},
                     .samples = 2,
                     .length = 100,
                     .masked = 0.3,
                     .dropout = 0.5f});
    cases.push_back({.name = "wide, long queries, rounds of different largest scores",
                     .pattern = {.kind = kind,
                                 .head_dim = 128,
                                 .rounds = is_hashed(kind) ? 3 : 1,
                                 .chunk_length = 30},
                     .length = 120,
                     .num_buckets = 20,
                     .query_deviation = 12});
    cases.push_back({.name = "wide, norms on both sides of the limit, zero keys",
                     .pattern = {.kind = kind, .head_dim = 64, .chunk_length = 150},
                     .length = 330,
                     .num_buckets = 2,
                     .query_deviation = 3.5f,
                     .zero = 0.1});
  }
  for (const AttentionKind kind : {kStrict, kChunked}) {
    cases.push_back({.name = "wide, dropout in more rounds than a block of random words has",
                     .pattern = {.kind = kind,
                                 .causal = kind == kStrict,
                                 .head_dim = 32,
                                 .rounds = 6,
                                 .chunk_length = 30},
                     .length = 70,
                     .dropout = 0.3f});
  }
  cases.push_back({.name = "wide, many short sequences",
                   .pattern = {.kind = kStrict, .heads = 2, .head_dim = 32, .rounds = 2},
                   .samples = 515,
                   .length = 3,
                   .num_buckets = 1});
  cases.push_back({.name = "wide, each alone",
                   .pattern = {.kind = kStrict, .head_dim = 32, .rounds = 5, .chunk_length = 4},
                   .length = 70,
                   .dropout = 0.5f,
                   .each_alone = true});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(WideEdges, AttentionTest, ::testing::ValuesIn(wide_edge_cases()));

class LoneTokensTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(LoneTokensTest, OfFiveRoundsHaveTheirOwnValue) {
  AttentionCase config{.name = "alone",
                       .pattern = {.kind = kStrict, .head_dim = GetParam(), .rounds = 5},
                       .length = 40,
                       .dropout = 0.5f,
                       .each_alone = true};
  AttentionProblem problem(config);
  problem.run(1);
  EXPECT_TRUE(testing::same_bits(problem.out.view(), problem.value.view()));
  EXPECT_TRUE(testing::same_bits(problem.dvalue.view(), problem.dout.view()));
  for (const double gradient : to_doubles(problem.dquery)) EXPECT_EQ(gradient, 0);
  for (const double lse : to_doubles(problem.lse)) EXPECT_EQ(lse, static_cast<double>(kSelfScore));
}
INSTANTIATE_TEST_SUITE_P(Widths, LoneTokensTest, ::testing::Values(8, 64));

TEST(AttentionTest, ZeroKeysPassNoGradientThroughTheirDirection) {
  AttentionCase config{.name = "zeros",
                       .pattern = {.kind = kFull, .causal = false, .head_dim = 4},
                       .length = 6,
                       .zero = 1};
  AttentionProblem problem(config);
  problem.run(1);
  for (const double gradient : to_doubles(problem.dquery)) EXPECT_EQ(gradient, 0);
}

}  // namespace
}  // namespace reformer
