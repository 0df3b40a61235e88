// The learning rate at the joints of each schedule and between them.
#include "trainer/schedule.h"

#include <gtest/gtest.h>

namespace reformer {
namespace {

constexpr double kRate = 3e-3;
constexpr double kFinalRate = 1e-4;
constexpr int64_t kWarmup = 10;
constexpr int64_t kSteps = 110;

config::Training training(config::Schedule::Kind kind, int64_t warmup = kWarmup) {
  config::Training training;
  training.set_steps(kSteps);
  config::Schedule& schedule = *training.mutable_schedule();
  schedule.set_kind(kind);
  schedule.set_rate(kRate);
  schedule.set_warmup(warmup);
  schedule.set_final_rate(kFinalRate);
  return training;
}

class EverySchedule : public ::testing::TestWithParam<config::Schedule::Kind> {};

TEST_P(EverySchedule, WarmsUpLinearlyAndExactlyToTheRate) {
  const config::Training run = training(GetParam());
  EXPECT_DOUBLE_EQ(learning_rate(run, 1), kRate / 10);
  EXPECT_DOUBLE_EQ(learning_rate(run, 5), kRate / 2);
  EXPECT_DOUBLE_EQ(learning_rate(run, 9), kRate * 9 / 10);
  EXPECT_EQ(learning_rate(run, kWarmup), kRate);
}

TEST_P(EverySchedule, NeverRisesAfterTheWarmUp) {
  const config::Training run = training(GetParam());
  for (int64_t step = kWarmup; step < kSteps; ++step) {
    EXPECT_LE(learning_rate(run, step + 1), learning_rate(run, step)) << step;
  }
}

TEST_P(EverySchedule, AWarmUpOfOneStepOrNoneChangesNothing) {
  const config::Training one = training(GetParam(), 1);
  const config::Training none = training(GetParam(), 0);
  EXPECT_EQ(learning_rate(one, 1), kRate);
  for (int64_t step : {int64_t{1}, int64_t{2}, kSteps}) {
    EXPECT_NEAR(learning_rate(none, step), learning_rate(one, step), kRate / 50);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, EverySchedule,
                         ::testing::Values(config::Schedule::CONSTANT, config::Schedule::LINEAR,
                                           config::Schedule::COSINE, config::Schedule::RSQRT),
                         [](const auto& kind) { return config::Schedule::Kind_Name(kind.param); });

TEST(ScheduleTest, ConstantStays) {
  const config::Training run = training(config::Schedule::CONSTANT);
  EXPECT_EQ(learning_rate(run, kWarmup + 1), kRate);
  EXPECT_EQ(learning_rate(run, kSteps), kRate);
}

TEST(ScheduleTest, LinearFallsInAStraightLineAndEndsExactly) {
  const config::Training run = training(config::Schedule::LINEAR);
  EXPECT_DOUBLE_EQ(learning_rate(run, 35), kRate + (kFinalRate - kRate) / 4);
  EXPECT_DOUBLE_EQ(learning_rate(run, 60), (kRate + kFinalRate) / 2);
  EXPECT_EQ(learning_rate(run, kSteps), kFinalRate);
  EXPECT_EQ(learning_rate(run, kSteps + 50), kFinalRate);
}

TEST(ScheduleTest, CosineIsHalfACosineAndEndsExactly) {
  const config::Training run = training(config::Schedule::COSINE);
  constexpr double kHalfRoot = 0.70710678118654752440;  // cos(π/4)
  EXPECT_DOUBLE_EQ(learning_rate(run, 35), kFinalRate + (kRate - kFinalRate) * (1 + kHalfRoot) / 2);
  EXPECT_DOUBLE_EQ(learning_rate(run, 60), (kRate + kFinalRate) / 2);
  EXPECT_DOUBLE_EQ(learning_rate(run, 85), kFinalRate + (kRate - kFinalRate) * (1 - kHalfRoot) / 2);
  EXPECT_EQ(learning_rate(run, kSteps), kFinalRate);
  EXPECT_EQ(learning_rate(run, kSteps + 50), kFinalRate);
}

TEST(ScheduleTest, RsqrtFallsWithTheRootOfTheStep) {
  const config::Training run = training(config::Schedule::RSQRT);
  EXPECT_DOUBLE_EQ(learning_rate(run, 4 * kWarmup), kRate / 2);
  EXPECT_DOUBLE_EQ(learning_rate(run, 9 * kWarmup), kRate / 3);
  const config::Training cold = training(config::Schedule::RSQRT, 0);
  EXPECT_EQ(learning_rate(cold, 1), kRate);
  EXPECT_DOUBLE_EQ(learning_rate(cold, 100), kRate / 10);
}

TEST(ScheduleDeathTest, StepsCountFromOne) {
  EXPECT_DEATH(learning_rate(training(config::Schedule::COSINE), 0), "step >= 1");
}

}  // namespace
}  // namespace reformer
