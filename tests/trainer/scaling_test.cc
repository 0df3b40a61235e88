// Predictions for many ranks on machines whose network is free, or slow.
#include "trainer/replay/scaling.h"

#include <gtest/gtest.h>

#include "kernels/plan_backend.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/config_testing.h"
#include "trainer/replay/machine.h"

namespace reformer {
namespace {

using testing::expect_contains;

constexpr const char* kConfig = R"(
data { source: DUPLICATION length: 512 symbols: 20 }
model {
  vocabulary: 32 width: 32 ff_width: 64 heads: 4 layers: 2
  attention_pattern: [LSH, LOCAL] lsh { chunk_length: 16 } local { chunk_length: 16 }
}
training { batch: 8 micro_batch: 1 steps: 10 schedule { warmup: 2 } }
execution { leaf_tokens: 128 }
)";

constexpr const char* kMachine = R"(
rate { flops_per_second: 1e9 bytes_per_second: 1e9 }
ranks_per_node: 4
within_node { bytes_per_second: 1e7 }
between_nodes { bytes_per_second: 1e6 }
)";

std::vector<ScalingPoint> predict(Scaling scaling, const std::string& machine,
                                  const std::vector<std::string>& overrides = {}) {
  const std::unique_ptr<Backend> plan = make_plan_backend();
  return predict_scaling(testing::parse(kConfig, overrides), scaling,
                         parse_machine(machine, "m.txtpb"), *plan);
}

TEST(ScalingTest, OneRankIsTheMeasureAndSendsNothing) {
  const ScalingPoint one = predict(Scaling::kWeak, kMachine).front();
  EXPECT_EQ(one.efficiency, 1);
  EXPECT_EQ(one.time.communication, 0);
  EXPECT_EQ(one.time.seconds, one.time.compute);
  EXPECT_EQ(one.tokens, 512);
}

TEST(ScalingTest, DoublesUpTo512Ranks) {
  const std::vector<ScalingPoint> points = predict(Scaling::kWeak, kMachine);
  ASSERT_EQ(points.size(), 10u);
  EXPECT_EQ(points.back().ranks, kMostScalingRanks);
  for (const ScalingPoint& point : points) {
    EXPECT_EQ(point.place.data_size, point.ranks) << "a sequence for each rank";
    EXPECT_EQ(point.tokens, 512);
  }
}

TEST(ScalingTest, AMachineOfOneNodeHasNoMoreRanks) {
  const std::vector<ScalingPoint> points =
      predict(Scaling::kWeak,
              "rate { flops_per_second: 1 bytes_per_second: 1 } ranks_per_node: 4 "
              "within_node { bytes_per_second: 1 }");
  EXPECT_EQ(points.back().ranks, 4);
}

TEST(ScalingTest, OnAFreeNetworkWeakScalingLosesNothing) {
  const std::vector<ScalingPoint> points =
      predict(Scaling::kWeak,
              "rate { flops_per_second: 1e9 bytes_per_second: 1e9 } ranks_per_node: 4 "
              "within_node { bytes_per_second: 1e30 } between_nodes { bytes_per_second: 1e30 }");
  for (const ScalingPoint& point : points) {
    EXPECT_GE(point.efficiency, 0.999) << point.ranks << " ranks share the optimizer's work";
    EXPECT_LT(point.time.exposed, 1e-9 * point.time.seconds);
  }
}

TEST(ScalingTest, ASlowNetworkIsWaitedFor) {
  const std::vector<ScalingPoint> points = predict(Scaling::kWeak, kMachine);
  EXPECT_LT(points[1].efficiency, 1);
  EXPECT_LT(points[4].efficiency, points[1].efficiency) << "other nodes are further away";
  EXPECT_GT(points[4].time.by_purpose.at("gradients").exposed, 0);
  EXPECT_NEAR(points[4].time.seconds, points[4].time.compute + points[4].time.exposed,
              1e-9 * points[4].time.seconds);
}

TEST(ScalingTest, StrongScalingSharesTheBatch) {
  const std::vector<ScalingPoint> points = predict(Scaling::kStrong, kMachine);
  EXPECT_EQ(points[0].tokens, 8 * 512);
  EXPECT_EQ(points[3].tokens, 512);
  EXPECT_GT(points[0].time.compute, 7.5 * points[3].time.compute);
}

TEST(ScalingTest, TheTableSaysWhatCannotBe) {
  const std::vector<ScalingPoint> points =
      predict(Scaling::kStrong, kMachine, {"parallel.sequence=4"});
  EXPECT_NE(points[0].refusal, "");
  EXPECT_EQ(points[2].refusal, "");
  const std::string table =
      scaling_table(points, parse_machine(std::string(kMachine) + "memory_bytes: 1", "m.txtpb"));
  expect_contains(table, points[0].refusal);
  expect_contains(table, "!");
}

}  // namespace
}  // namespace reformer
