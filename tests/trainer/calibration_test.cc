// Machines that are measured.
#include "trainer/replay/calibration.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "comm/self.h"
#include "comm/threads.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/trainer/config_testing.h"
#include "trainer/replay/planned_log.h"
#include "trainer/replay/replay.h"

namespace reformer {
namespace {

LoggedOp op(const char* name, const OpCost& cost, double seconds) {
  return {.op = name, .cost = cost, .seconds = seconds};
}

const MeasuredStep kMeasured{
    .seconds = 10,
    .log = {.events = {op("linear", {.flops = 300, .bytes = 5}, 3), LoggedWait{},
                       op("attention", {.flops = 20}, 2), op("copy", {.bytes = 60}, 3),
                       op("linear", {.flops = 500, .bytes = 5}, 1)}}};

replay::Rate rate_of(const replay::Machine& machine, const std::string& name) {
  for (const replay::OpRate& rate : machine.op_rates()) {
    if (rate.op() == name) return rate.rate();
  }
  return {};
}

TEST(MachineOfOpsTest, RatesAreThoseOfAllCallsOfAnOp) {
  const replay::Machine machine = machine_of_ops(kMeasured);
  EXPECT_EQ(rate_of(machine, "linear").flops_per_second(), 800 / 4.0);
  EXPECT_FALSE(rate_of(machine, "linear").has_bytes_per_second());
  EXPECT_EQ(rate_of(machine, "copy").bytes_per_second(), 60 / 3.0);
  EXPECT_EQ(machine.rate().flops_per_second(), 820 / 6.0);
  EXPECT_EQ(machine.rate().bytes_per_second(), 60 / 3.0);
}

TEST(MachineOfOpsTest, PartsOfAttentionCountAsAttention) {
  const replay::Machine machine = machine_of_ops(kMeasured);
  EXPECT_EQ(rate_of(machine, "attention_part").flops_per_second(), 10);
  EXPECT_FALSE(rate_of(machine, "attention_part_backward").has_flops_per_second());
}

TEST(MachineOfOpsTest, WhatIsNoOpIsTheStepsOwn) {
  EXPECT_EQ(machine_of_ops(kMeasured).step_seconds(), 10 - 9);
}

TEST(MachineOfOpsTest, AReplayOfTheSameStepTakesAsLong) {
  StepLog ops = kMeasured.log;
  std::erase_if(ops.events, [](const StepEvent& event) { return event.index() != 0; });
  EXPECT_DOUBLE_EQ(replay_step(ops, machine_of_ops(kMeasured)).seconds, 10);
}

constexpr const char* kConfig = R"(
data { source: DUPLICATION length: 128 symbols: 20 }
model {
  vocabulary: 32 width: 16 ff_width: 40 heads: 2 layers: 2
  attention_pattern: [LSH, LOCAL] lsh { chunk_length: 16 } local { chunk_length: 16 }
}
training { batch: 2 steps: 10 schedule { warmup: 2 } }
execution { leaf_tokens: 128 }
)";

/// The median of three steps.
MeasuredStep measure(const RunConfig& config, const RankGroups& ranks, Communicator& beside,
                     Backend& backend) {
  TimedTraining training(config, ranks, beside, backend);
  training.step();
  std::vector<double> seconds;
  for (int step = 0; step < 3; ++step) seconds.push_back(training.step());
  std::sort(seconds.begin(), seconds.end());
  MeasuredStep median = training.median();
  EXPECT_EQ(median.seconds, seconds[1]);
  return median;
}

TEST(TimedTrainingTest, APlannedStepOfOneRankIsPredictedFromIt) {
  const RunConfig config = testing::parse(kConfig);
  const std::unique_ptr<Backend> cpu = make_cpu_backend(1);
  SelfCommunicator alone;
  const MeasuredStep measured = measure(config, data_parallel(alone), alone, *cpu);
  EXPECT_GT(measured.seconds, seconds_of_ops(measured.log));
  const double predicted =
      replay_step(plan_log(config, {}, *cpu).log, machine_of_ops(measured)).seconds;
  EXPECT_NEAR(predicted, measured.seconds, 1e-6 * measured.seconds);
}

TEST(TimedTrainingTest, RanksAreMeasuredSideBySide) {
  const RunConfig config = testing::parse(kConfig);
  run_as_threads(2, [&](Communicator& world) {
    const std::unique_ptr<Backend> cpu = make_cpu_backend(1);
    SelfCommunicator alone;
    const MeasuredStep by_itself = measure(config, data_parallel(alone), world, *cpu);
    const MeasuredStep together = measure(config, data_parallel(world), world, *cpu);
    const std::vector<int64_t> nanoseconds =
        world.gather(std::llround(1e9 * by_itself.seconds), "seconds");
    EXPECT_EQ(nanoseconds[0], nanoseconds[1]) << "the slowest of both";
    EXPECT_GT(by_itself.log.events.size(), 0u);
    EXPECT_GT(together.seconds, 0);
  });
}

TEST(MeasureLinkTest, LatencyAndBandwidthAreNumbers) {
  run_as_threads(3, [](Communicator& world) {
    const std::unique_ptr<Backend> cpu = make_cpu_backend(1);
    const replay::Link link = measure_link(world, *cpu, replay::Machine::PAIRS);
    EXPECT_GT(link.latency_seconds(), 0);
    EXPECT_GT(link.bytes_per_second(), 1e6);
    EXPECT_LT(link.bytes_per_second(), 1e12);
  });
}

}  // namespace
}  // namespace reformer
