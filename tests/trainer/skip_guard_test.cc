// Which steps are skipped, why, and when the run gives up.
#include "trainer/skip_guard.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kLayers = 3;

config::Training training(int64_t max_skipped, double spike_factor) {
  config::Training training;
  training.set_max_skipped(max_skipped);
  training.set_spike_factor(spike_factor);
  return training;
}

StepEvidence evidence(double loss, double norm) {
  return {.step = 7,
          .loss = loss,
          .gradient_norm = norm,
          .faults = std::vector<int64_t>((kLayers + 2) * kFaultKinds)};
}

StepEvidence fault(size_t row, FaultKind kind, int64_t count) {
  StepEvidence evidence{.step = 7,
                        .loss = 1,
                        .gradient_norm = 1,
                        .faults = std::vector<int64_t>((kLayers + 2) * kFaultKinds)};
  evidence.faults[row * kFaultKinds + static_cast<size_t>(kind)] = count;
  return evidence;
}

/// Why a fresh guard skips the step; "accepted" if it does not.
std::string verdict(const StepEvidence& evidence) {
  SkipGuard guard(training(5, 0));
  return guard.judge(evidence) ? guard.reason() : "accepted";
}

TEST(SkipGuardTest, AcceptsWhatIsFinite) {
  EXPECT_EQ(verdict(evidence(2, 1)), "accepted");
  EXPECT_EQ(verdict(evidence(0, 0)), "accepted");
  EXPECT_EQ(verdict(evidence(1e300, 1e300)), "accepted");
}

TEST(SkipGuardTest, SkipsWhatIsNotFinite) {
  EXPECT_EQ(verdict(evidence(kNan, 1)), "the loss is not finite");
  EXPECT_EQ(verdict(evidence(kInfinity, 1)), "the loss is not finite");
  EXPECT_EQ(verdict(evidence(1, kNan)), "the gradient norm is not finite");
  EXPECT_EQ(verdict(evidence(1, kInfinity)), "the gradient norm is not finite");
}

TEST(SkipGuardTest, NamesThePlaceOfAFault) {
  EXPECT_EQ(verdict(fault(0, kStreamSaturated, 4)),
            "4 values of the residual stream out of range in the embedding");
  EXPECT_EQ(verdict(fault(1, kStreamSaturated, 2)),
            "2 values of the residual stream out of range in layer 0");
  EXPECT_EQ(verdict(fault(kLayers, kSumOverflowed, 3)), "3 gradient terms out of range in layer 2");
  EXPECT_EQ(verdict(fault(kLayers + 1, kSumOverflowed, 1)),
            "1 gradient terms out of range in the head");
}

TEST(SkipGuardTest, TheFirstFaultExplainsAllThatFollows) {
  StepEvidence both = fault(2, kStreamSaturated, 5);
  both.faults[3 * kFaultKinds + kStreamSaturated] = 100;
  both.loss = kNan;
  EXPECT_EQ(verdict(both), "5 values of the residual stream out of range in layer 1");
}

TEST(SkipGuardTest, GivesUpAfterTooManyInARow) {
  SkipGuard guard(training(3, 0));
  EXPECT_TRUE(guard.judge(evidence(kNan, 1)));
  EXPECT_TRUE(guard.judge(evidence(kNan, 1)));
  try {
    guard.judge(evidence(kNan, 1));
    FAIL() << "the third skipped step in a row was accepted";
  } catch (const DivergenceError& error) {
    EXPECT_STREQ(error.what(),
                 "step 7: the loss is not finite; 3 steps in a row were skipped, stopping");
  }
}

TEST(SkipGuardTest, AnAcceptedStepEndsTheRow) {
  SkipGuard guard(training(2, 0));
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(guard.judge(evidence(kNan, 1)));
    EXPECT_EQ(guard.state().skipped_in_a_row, 1);
    EXPECT_FALSE(guard.judge(evidence(1, 1)));
    EXPECT_EQ(guard.state().skipped_in_a_row, 0);
  }
  SkipGuard strict(training(1, 0));
  EXPECT_THROW(strict.judge(evidence(kNan, 1)), DivergenceError);
}

TEST(SkipGuardTest, ASpikeIsSkippedOnceTheMeanHasSettled) {
  SkipGuard guard(training(5, 3));
  EXPECT_FALSE(guard.judge(evidence(1, 2)));
  EXPECT_FALSE(guard.judge(evidence(1, 100)));  // too early to call it one
  guard.restore({});
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(guard.judge(evidence(1, 2)));
  EXPECT_TRUE(guard.judge(evidence(1, 6.5)));
  EXPECT_EQ(guard.reason(), "the gradient norm 6.5 is more than 3 times its running mean 2");
  EXPECT_EQ(guard.state().mean_norm, 2) << "a skipped step must leave no trace in the mean";
  EXPECT_EQ(guard.state().accepted, 20);
  EXPECT_FALSE(guard.judge(evidence(1, 6)));  // not more than three times
}

TEST(SkipGuardTest, WithoutAFactorNothingIsASpike) {
  SkipGuard guard(training(5, 0));
  for (int i = 0; i < 30; ++i) guard.judge(evidence(1, 1));
  EXPECT_FALSE(guard.judge(evidence(1, 1e9)));
}

TEST(SkipGuardTest, TheMeanIsPlainAtFirstAndForgetsLater) {
  SkipGuard guard(training(5, 0));
  guard.judge(evidence(1, 1));
  guard.judge(evidence(1, 2));
  guard.judge(evidence(1, 6));
  EXPECT_DOUBLE_EQ(guard.state().mean_norm, 3);
  guard.restore({.mean_norm = 1, .accepted = 1000, .skipped_in_a_row = 0});
  guard.judge(evidence(1, 2));
  EXPECT_DOUBLE_EQ(guard.state().mean_norm, 1.01);
}

TEST(SkipGuardTest, ARestoredGuardGoesOnAsTheFirstWould) {
  SkipGuard first(training(4, 3));
  for (int i = 0; i < 25; ++i) first.judge(evidence(1, 1 + 0.1 * i));
  first.judge(evidence(kNan, 1));
  SkipGuard second(training(4, 3));
  second.restore(first.state());
  for (double norm : {2.0, 30.0, 31.0, 1.0}) {
    EXPECT_EQ(first.judge(evidence(1, norm)), second.judge(evidence(1, norm)));
    EXPECT_EQ(first.state().mean_norm, second.state().mean_norm);
    EXPECT_EQ(first.state().skipped_in_a_row, second.state().skipped_in_a_row);
  }
}

}  // namespace
}  // namespace reformer
