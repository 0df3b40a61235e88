#include "trainer/generation/sampler.h"

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

using Logits = std::vector<float>;
using Tokens = std::vector<int32_t>;

/// How often each token comes in `draws` places of a sequence.
std::map<int32_t, double> frequencies(const Logits& logits, const SamplingOptions& options,
                                      int draws = 20000) {
  std::map<int32_t, double> shares;
  Tokens history;
  for (int i = 0; i < draws; ++i) {
    history.assign(static_cast<size_t>(i % 200 + 1), static_cast<int32_t>(logits.size()) - 1);
    shares[sample_token(logits, history, i / 200, options)] += 1.0 / draws;
  }
  return shares;
}

TEST(SamplerTest, FollowsTheSoftmax) {
  const Logits logits{0, 1, 2, -1};
  const std::map<int32_t, double> shares = frequencies(logits, {});
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit));
  for (int32_t token = 0; token < 4; ++token) {
    const double expected =
        std::exp(static_cast<double>(logits[static_cast<size_t>(token)])) / total;
    EXPECT_NEAR(shares.at(token), expected, 0.01) << token;
  }
}

TEST(SamplerTest, TemperatureSharpensAndFlattens) {
  const Logits logits{0, 1};
  EXPECT_NEAR(frequencies(logits, {.temperature = 0.5})[1], 1 / (1 + std::exp(-2.0)), 0.01);
  EXPECT_NEAR(frequencies(logits, {.temperature = 2})[1], 1 / (1 + std::exp(-0.5)), 0.01);
}

TEST(SamplerTest, TemperatureZeroTakesTheFirstOfTheMostLikely) {
  EXPECT_EQ(sample_token(Logits{1, 3, 2, 3}, Tokens{0}, 0, {.temperature = 0}), 1);
  // Where exp would overflow or vanish.
  EXPECT_EQ(sample_token(Logits{1e30f, 2e30f}, Tokens{0}, 0, {.temperature = 1e-6}), 1);
}

TEST(SamplerTest, TopKKeepsTheMostLikely) {
  const std::map<int32_t, double> shares = frequencies({0, 2, 1, 2}, {.top_k = 2});
  EXPECT_EQ(shares.size(), 2U);
  EXPECT_NEAR(shares.at(1), 0.5, 0.01);
  EXPECT_NEAR(shares.at(3), 0.5, 0.01);
  EXPECT_EQ(frequencies({0, 2, 1, 2}, {.top_k = 100}).size(), 4U);
}

TEST(SamplerTest, TopPKeepsTheTokenThatReachesIt) {
  // Probabilities 0.5, 0.3, 0.15, 0.05.
  const Logits logits{std::log(0.3f), std::log(0.5f), std::log(0.05f), std::log(0.15f)};
  EXPECT_EQ(frequencies(logits, {.top_p = 0.49}).size(), 1U);
  EXPECT_EQ(frequencies(logits, {.top_p = 0.6}).size(), 2U);
  const std::map<int32_t, double> shares = frequencies(logits, {.top_p = 0.9});
  EXPECT_EQ(shares.size(), 3U);
  EXPECT_EQ(shares.count(2), 0U);
  EXPECT_NEAR(shares.at(1), 0.5 / 0.95, 0.01);
}

TEST(SamplerTest, TopPComesAfterTopK) {
  // Of the two that top_k leaves the first has 0.625.
  const Logits logits{std::log(0.3f), std::log(0.5f), std::log(0.2f)};
  EXPECT_EQ(frequencies(logits, {.top_k = 2, .top_p = 0.6}).size(), 1U);
}

TEST(SamplerTest, PenaltyMakesRecentTokensLessLikely) {
  const SamplingOptions options{.repetition_penalty = 2, .repetition_window = 2, .temperature = 0};
  EXPECT_EQ(sample_token(Logits{3, 2, 1}, Tokens{0, 1}, 0, options), 0);     // 1.5, 1, 1
  EXPECT_EQ(sample_token(Logits{3, 2, 1}, Tokens{0, 0}, 0, options), 1);     // 1.5, 2, 1; once only
  EXPECT_EQ(sample_token(Logits{-2, -3, -9}, Tokens{0, 0}, 0, options), 1);  // −4, −3, −9
  EXPECT_EQ(sample_token(Logits{3, 2, 1}, Tokens{0, 2, 2}, 0, options), 0);  // 0 is too long ago
  const SamplingOptions none{.repetition_penalty = 2, .repetition_window = 0, .temperature = 0};
  EXPECT_EQ(sample_token(Logits{3, 2, 1}, Tokens{0}, 0, none), 0);
}

TEST(SamplerTest, IsAFunctionOfSeedSequenceAndPlace) {
  const Logits logits(1000, 0.0f);
  const auto draw = [&](uint64_t seed, int64_t sequence, size_t length) {
    return sample_token(logits, Tokens(length, 1), sequence, {.seed = seed});
  };
  EXPECT_EQ(draw(1, 0, 5), draw(1, 0, 5));
  EXPECT_NE(draw(1, 0, 5), draw(2, 0, 5));
  EXPECT_NE(draw(1, 0, 5), draw(1, 1, 5));
  EXPECT_NE(draw(1, 0, 5), draw(1, 0, 6));
}

TEST(SamplerTest, RefusesWhatIsNoNumber) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    EXPECT_THROW(sample_token(Logits{0, bad}, Tokens{0}, 0, {}), DivergenceError);
  }
}

}  // namespace
}  // namespace reformer
