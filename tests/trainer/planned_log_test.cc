// The log of a planned step is that of a real one.
#include "trainer/replay/planned_log.h"

#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "comm/threads.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/trainer/config_testing.h"
#include "trainer/data/dataset.h"
#include "trainer/replay/step_recorder.h"
#include "trainer/step.h"

namespace reformer {
namespace {

constexpr const char* kConfig = R"(
data { source: DUPLICATION length: 500 symbols: 20 }
model {
  vocabulary: 32 width: 16 ff_width: 40 heads: 2 layers: 3
  attention_pattern: [LSH, LOCAL, FULL]
  lsh { chunk_length: 16 } local { chunk_length: 16 }
}
training { batch: 6 micro_batch: 2 steps: 10 schedule { warmup: 2 } }
execution { leaf_tokens: 128 }
)";

/// A line for each event, without times and numbers of operations.
std::vector<std::string> lines_of(const StepLog& log) {
  std::vector<std::string> lines;
  std::map<uint64_t, std::string> tags;
  for (const StepEvent& event : log.events) {
    if (const auto* const op = std::get_if<LoggedOp>(&event)) {
      lines.push_back(fmt::format("{}: {} FLOP, {} bytes", op->op, op->cost.flops, op->cost.bytes));
    } else if (const auto* const start = std::get_if<LoggedStart>(&event)) {
      tags[start->id] = start->tag;
      lines.push_back(fmt::format("{} ({}) among {} by {}: {} and {} bytes", name_of(start->kind),
                                  start->tag, start->group.size, start->group.stride,
                                  start->bytes.whole, start->bytes.busiest));
    } else {
      lines.push_back("wait for " + tags.at(std::get<LoggedWait>(event).id));
    }
  }
  return lines;
}

/// The same without what depends on the hash: sizes of what is sorted, and of what travels for it.
std::vector<std::string> kinds_of(const StepLog& log) {
  std::vector<std::string> kinds;
  for (const StepEvent& event : log.events) {
    if (const auto* const op = std::get_if<LoggedOp>(&event)) {
      kinds.push_back(op->op);
    } else if (const auto* const start = std::get_if<LoggedStart>(&event)) {
      kinds.push_back(fmt::format("{} ({}) among {} by {}", name_of(start->kind), start->tag,
                                  start->group.size, start->group.stride));
    }
  }
  return kinds;
}

/// Of the second step of every rank.
std::vector<StepLog> real_logs(const RunConfig& config, const Mesh& mesh) {
  std::vector<StepLog> logs(static_cast<size_t>(mesh.size()));
  run_as_threads(mesh.size(), [&](Communicator& world) {
    const auto recorder = std::make_shared<StepRecorder>();
    const std::unique_ptr<Backend> cpu = make_cpu_backend(1);
    const std::unique_ptr<Backend> observed = recorder->record(*cpu);
    const std::unique_ptr<Arena> arena = cpu->make_arena(size_t{1} << 28);
    const std::unique_ptr<Dataset> dataset = make_dataset(config.run);
    world.set_observer(recorder);
    const RankGroups ranks = split_by_mesh(
        world, make_mesh(world.rank(), world.size(), mesh.sequence_size, mesh.head_size));
    recorder->follow(ranks);
    TrainingState state(config.run, config.model, *observed, *arena, world.rank(), world.size());
    state.initialize_parameters(1);
    SkipGuard guard(config.run.training());
    for (const int64_t step : {1, 2}) {
      recorder->take_log();
      train_step(config.run, *dataset, ranks, state, guard, step);
    }
    logs[static_cast<size_t>(world.rank())] = recorder->take_log();
  });
  return logs;
}

using Lines = std::vector<std::string> (*)(const StepLog& log);

void expect_planned_as_real(const RunConfig& config, const Mesh& mesh, Lines lines = lines_of) {
  const std::unique_ptr<Backend> cpu = make_cpu_backend(1);
  const std::vector<StepLog> real = real_logs(config, mesh);
  for (int rank = 0; rank < mesh.size(); ++rank) {
    SCOPED_TRACE(fmt::format("rank {}", rank));
    const PlannedLog planned =
        plan_log(config, make_mesh(rank, mesh.size(), mesh.sequence_size, mesh.head_size), *cpu);
    EXPECT_EQ(lines(planned.log), lines(real[static_cast<size_t>(rank)]));
    EXPECT_GT(planned.bytes, 0u);
  }
}

TEST(PlannedLogTest, IsThatOfARealStepOnOneRank) {
  expect_planned_as_real(testing::parse(kConfig), {});
}

TEST(PlannedLogTest, IsThatOfARealStepOfDataParallelRanks) {
  expect_planned_as_real(testing::parse(kConfig), {.data_size = 3});
  expect_planned_as_real(testing::parse(kConfig, {"optimizer.kind=ADAFACTOR"}), {.data_size = 4});
}

TEST(PlannedLogTest, IsThatOfARealStepOfRanksThatShareHeads) {
  expect_planned_as_real(testing::parse(kConfig),
                         {.data_size = 2, .sequence_size = 2, .head_size = 2});
}

TEST(PlannedLogTest, IsThatOfARealStepOfRanksThatShareBucketsButForSizes) {
  const RunConfig config = testing::parse(kConfig, {"model.attention_pattern=[LSH, LOCAL]"});
  expect_planned_as_real(config, {.sequence_size = 3, .head_size = 1}, kinds_of);
  expect_planned_as_real(config, {.sequence_size = 4, .head_size = 2}, kinds_of);
}

TEST(PlannedLogTest, HasTheTokensOfTheRank) {
  const RunConfig config = testing::parse(kConfig);
  const std::unique_ptr<Backend> cpu = make_cpu_backend(1);
  EXPECT_EQ(plan_log(config, {}, *cpu).tokens, 6 * 500);
  EXPECT_EQ(plan_log(config, {.data_size = 4, .data_rank = 3}, *cpu).tokens, 2 * 500);
}

TEST(BusiestPlaceTest, HasMostSequencesAndTokensAndTwoNeighbours) {
  // Five leaves for four ranks: the last has two, one of them short.
  const RunConfig config = testing::parse(kConfig, {"data.length=600"});
  const Mesh place = busiest_place(config, {.data_size = 2, .sequence_size = 4});
  EXPECT_EQ(place.data_rank, 1);
  EXPECT_EQ(place.sequence_rank, 3);
  const RunConfig even = testing::parse(kConfig, {"data.length=1024"});
  EXPECT_EQ(busiest_place(even, {.sequence_size = 8}).sequence_rank, 4);
}

}  // namespace
}  // namespace reformer
