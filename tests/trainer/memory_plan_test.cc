// The plan is what a real step and evaluation take, to the byte, and says how it grows.
#include "trainer/memory_plan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "comm/self.h"
#include "comm/threads.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/config_testing.h"
#include "trainer/evaluation/round_sweep.h"
#include "trainer/model/decoder.h"
#include "trainer/model/rotations.h"
#include "trainer/process_memory.h"
#include "trainer/step.h"

namespace reformer {
namespace {

using testing::expect_contains;

constexpr const char* kConfig = R"(
data { source: DUPLICATION length: 128 symbols: 20 }
model {
  vocabulary: 32 width: 16 ff_width: 40 heads: 2 layers: 2
  attention_pattern: LSH attention_pattern: LOCAL
  lsh { chunk_length: 16 } local { chunk_length: 16 }
}
training { batch: 6 micro_batch: 2 steps: 10 schedule { warmup: 2 } }
evaluation { sequences: 3 }
execution { leaf_tokens: 128 }
)";

RunConfig config_with(const std::vector<std::string>& overrides) {
  return testing::parse(kConfig, overrides);
}

size_t bytes_of(const MemoryPlan& plan, MemoryUse use) {
  return plan.by_use[static_cast<size_t>(use)];
}

/// What the arena of a rank really held at most.
MemoryPlan measure_training(const RunConfig& config, const RankGroups& ranks) {
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  const std::unique_ptr<Arena> arena = backend->make_arena(size_t{1} << 28);
  const std::unique_ptr<Dataset> dataset = make_dataset(config.run);
  TrainingState state(config.run, config.model, *backend, *arena, ranks.world.rank(),
                      ranks.world.size());
  state.initialize_parameters(1);
  SkipGuard guard(config.run.training());
  for (int64_t step : {1, 2}) {
    train_step(config.run, *dataset, ranks, state, guard, step);
  }
  evaluate(config.run, *dataset, ranks, state);
  return {.arena_bytes = arena->peak(), .by_use = arena->usage_at_peak()};
}

MemoryPlan measure_evaluation(const RunConfig& config, const std::vector<int64_t>& rounds) {
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  const std::unique_ptr<Arena> arena = backend->make_arena(size_t{1} << 28);
  const std::unique_ptr<Dataset> dataset = make_dataset(config.run);
  SelfCommunicator alone;
  ModelState state(config.model, *backend, *arena);
  state.initialize_parameters(1);
  evaluate(config.run, *dataset, data_parallel(alone), state);
  sweep_rounds(config.run, *dataset, data_parallel(alone), state, rounds, 2);
  return {.arena_bytes = arena->peak(), .by_use = arena->usage_at_peak()};
}

/// What every rank of a mesh took, of which `sequence` share each sequence and `heads` of those the
/// heads.
std::vector<MemoryPlan> measure_ranks(const RunConfig& config, int ranks, int sequence = 1,
                                      int heads = 1) {
  std::vector<MemoryPlan> real(static_cast<size_t>(ranks));
  run_as_threads(ranks, [&](Communicator& world) {
    real[static_cast<size_t>(world.rank())] = measure_training(
        config, split_by_mesh(world, make_mesh(world.rank(), ranks, sequence, heads)));
  });
  return real;
}

MemoryPlan plan_rank(const RunConfig& config, size_t rank, int ranks, int sequence = 1,
                     int heads = 1) {
  return plan_training(config, make_mesh(static_cast<int>(rank), ranks, sequence, heads));
}

void expect_equal(const MemoryPlan& plan, const MemoryPlan& real) {
  EXPECT_EQ(plan.arena_bytes, real.arena_bytes);
  for (int use = 0; use < kMemoryUses; ++use) {
    const auto kind = static_cast<MemoryUse>(use);
    EXPECT_EQ(bytes_of(plan, kind), bytes_of(real, kind)) << name_of(kind);
  }
}

class PlanTest : public ::testing::TestWithParam<std::vector<std::string>> {};

TEST_P(PlanTest, IsWhatTrainingAndEvaluationTake) {
  const RunConfig config = config_with(GetParam());
  SelfCommunicator alone;
  expect_equal(plan_training(config), measure_training(config, data_parallel(alone)));
  expect_equal(plan_evaluation(config), measure_evaluation(config, {}));
  expect_equal(plan_evaluation(config, {.rounds = {8, kAllKeys}}),
               measure_evaluation(config, {8, kAllKeys}));
  EXPECT_GE(plan_evaluation(config, {.decoded = true}).arena_bytes,
            plan_evaluation(config).arena_bytes);
  EXPECT_LE(plan_evaluation(config).arena_bytes, plan_training(config).arena_bytes);
}

TEST_P(PlanTest, IsWhatEachOfSeveralRanksTakes) {
  const RunConfig config = config_with(GetParam());
  const std::vector<MemoryPlan> real = measure_ranks(config, 3);
  for (size_t rank = 0; rank < 3; ++rank) expect_equal(plan_rank(config, rank, 3), real[rank]);
}

TEST_P(PlanTest, SufficesWhereTheRanksDoNotDivideTheBatch) {
  const RunConfig config = config_with(GetParam());
  const std::vector<MemoryPlan> real = measure_ranks(config, 4);
  for (size_t rank = 0; rank < 4; ++rank) {
    EXPECT_GE(plan_rank(config, rank, 4).arena_bytes, real[rank].arena_bytes);
  }
}

TEST_P(PlanTest, SufficesForRanksThatShareSequences) {
  std::vector<std::string> overrides = GetParam();
  overrides.push_back("data.length=1000");
  const RunConfig config = config_with(overrides);
  for (const auto& [sequence, heads] : {std::pair{2, 2}, {2, 1}, {4, 2}, {4, 1}}) {
    SCOPED_TRACE(fmt::format("{} ranks share sequences, {} heads", sequence, heads));
    const std::vector<MemoryPlan> real = measure_ranks(config, 4, sequence, heads);
    for (size_t rank = 0; rank < 4; ++rank) {
      EXPECT_GE(plan_rank(config, rank, 4, sequence, heads).arena_bytes, real[rank].arena_bytes);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Settings, PlanTest,
                         ::testing::Values(std::vector<std::string>{},
                                           std::vector<std::string>{"execution.activations=STORE"},
                                           std::vector<std::string>{"optimizer.kind=ADAFACTOR"},
                                           std::vector<std::string>{"execution.sums=SUM_FLOAT32"},
                                           std::vector<std::string>{"model.streams=FLOAT32",
                                                                    "execution.activations=STORE"},
                                           std::vector<std::string>{"model.lsh.mode=CHUNKED",
                                                                    "model.dropout=0.1"},
                                           std::vector<std::string>{"data.length=300"},
                                           std::vector<std::string>{"training.micro_batch=0"}));

/// Planning takes no memory, so it can try what does not fit.
TEST(PlanGrowthTest, OnlyWhatALayerOwnsGrowsWithTheLayers) {
  const MemoryPlan four = plan_training(config_with({"model.layers=4"}));
  const MemoryPlan sixteen = plan_training(config_with({"model.layers=16"}));
  const MemoryPlan sixty_four = plan_training(config_with({"model.layers=64"}));
  for (MemoryUse use : {MemoryUse::kStreams, MemoryUse::kBlock}) {
    EXPECT_GT(bytes_of(four, use), 0u) << name_of(use);
    EXPECT_EQ(bytes_of(four, use), bytes_of(sixty_four, use)) << name_of(use);
  }
  EXPECT_EQ(bytes_of(sixty_four, MemoryUse::kStored), 0u);
  for (MemoryUse use :
       {MemoryUse::kParameters, MemoryUse::kGradients, MemoryUse::kOptimizer, MemoryUse::kSlots}) {
    const size_t first = bytes_of(sixteen, use) - bytes_of(four, use);
    const size_t second = bytes_of(sixty_four, use) - bytes_of(sixteen, use);
    EXPECT_GT(first, 0u) << name_of(use);
    // Rounding to the arena's alignment aside.
    EXPECT_NEAR(static_cast<double>(second), 4.0 * static_cast<double>(first), 4096)
        << name_of(use);
  }
}

TEST(PlanGrowthTest, StoredActivationsGrowWithTheLayers) {
  const auto stored = [](const char* layers) {
    return bytes_of(plan_training(config_with({layers, "execution.activations=STORE"})),
                    MemoryUse::kStored);
  };
  const size_t four = stored("model.layers=4");
  EXPECT_GT(four, 0u);
  EXPECT_EQ(stored("model.layers=16"), 4 * four);
}

TEST(PlanGrowthTest, OptimizerStateIsSharedOutOverTheRanks) {
  for (const char* kind : {"ADAMW", "ADAFACTOR"}) {
    SCOPED_TRACE(kind);
    // Layers enough that tensors, which Adafactor does not cut, can be dealt out evenly.
    const RunConfig config = config_with({std::string("optimizer.kind=") + kind, "model.width=128",
                                          "model.ff_width=128", "model.layers=64"});
    const auto state = [&](int ranks) {  // of the rank that owns most
      size_t most = 0;
      for (size_t rank = 0; rank < static_cast<size_t>(ranks); ++rank) {
        most = std::max(most, bytes_of(plan_rank(config, rank, ranks), MemoryUse::kOptimizer));
      }
      return static_cast<double>(most);
    };
    // Scratch for the largest tensor is not state.
    const double scratch = std::string(kind) == "ADAFACTOR" ? 4 * 128 * 128 : 0;
    const double whole = state(1) - scratch;
    for (const int ranks : {2, 4, 8}) {
      EXPECT_NEAR((state(ranks) - scratch) * ranks / whole, 1, 0.1) << ranks << " ranks";
    }
  }
}

TEST(PlanGrowthTest, ParametersAndGradientsAreNot) {
  const RunConfig config = config_with({});
  for (const MemoryUse use : {MemoryUse::kParameters, MemoryUse::kStreams}) {
    EXPECT_EQ(bytes_of(plan_rank(config, 0, 3), use), bytes_of(plan_training(config), use));
  }
}

TEST(PlanGrowthTest, GradientAccumulationTakesNoMemory) {
  const MemoryPlan small = plan_training(config_with({"training.batch=2"}));
  const MemoryPlan large = plan_training(config_with({"training.batch=1000"}));
  expect_equal(large, small);
}

TEST(PlanGrowthTest, AModelThatFitsNowhereCanBePlanned) {
  const MemoryPlan plan = plan_training(config_with({"model.width=32768", "model.layers=64"}));
  EXPECT_GT(plan.arena_bytes, size_t{1} << 40);
  EXPECT_NE(complaint_about_memory(plan), "");
}

TEST(ComplaintAboutMemoryTest, ThereIsNoneAboutWhatFits) {
  EXPECT_EQ(complaint_about_memory({.arena_bytes = 4096}), "");
}

TEST(ComplaintAboutMemoryTest, CountsAllRanksOfTheMachine) {
  const size_t half = available_memory().value() / 2;
  EXPECT_EQ(complaint_about_memory({.arena_bytes = half}, 1), "");
  expect_contains(complaint_about_memory({.arena_bytes = half}, 4), "for 4 ranks on this machine");
}

TEST(ComplaintAboutMemoryTest, SaysWhatIsNeededAndWhatHelps) {
  MemoryPlan plan{.arena_bytes = size_t{1} << 60};
  const std::string complaint = complaint_about_memory(plan);
  expect_contains(complaint, "this run needs 1073741824.00 GiB of memory and ");
  expect_contains(complaint, "lower training.micro_batch, data.length or model.width");
  EXPECT_EQ(complaint.find("RECONSTRUCT"), std::string::npos) << "it already reconstructs";
  plan.by_use[static_cast<size_t>(MemoryUse::kStored)] = 1;
  expect_contains(complaint_about_memory(plan), "or set execution.activations to RECONSTRUCT");
}

TEST(DescribeTest, NamesEveryUseThatThereIs) {
  MemoryPlan plan{.arena_bytes = 3 << 20};
  plan.by_use[static_cast<size_t>(MemoryUse::kParameters)] = 2 << 20;
  plan.by_use[static_cast<size_t>(MemoryUse::kStreams)] = 1 << 20;
  EXPECT_EQ(describe(plan), "3.0 MiB planned: parameters 2.0 MiB, residual streams 1.0 MiB");
}

TEST(DescribeTest, BytesHaveTheUnitThatSaysMost) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(size_t{3} << 19), "1.5 MiB");
  EXPECT_EQ(format_bytes(size_t{5} << 28), "1.25 GiB");
}

TEST(ProcessMemoryTest, CountsWhatThisProcessTouches) {
  constexpr size_t kBytes = size_t{64} << 20;
  const size_t before = resident_memory();
  EXPECT_GT(before, 0u);
  const std::vector<char> touched(kBytes, 1);
  EXPECT_GE(resident_memory(), before + kBytes * 3 / 4);
  EXPECT_GE(peak_resident_memory(), before + kBytes * 3 / 4);
  EXPECT_EQ(touched.back(), 1);
  ASSERT_TRUE(available_memory().has_value());
  EXPECT_GT(*available_memory(), 0u);
}

TEST(MemoryPlanTest, MoreTextsThanFitAreRefusedBeforeAnythingIsTaken) {
  const RunConfig config = config_with({});
  const MemoryPlan plan = plan_generation(config.model, int64_t{1} << 32, 5, 120);
  expect_contains(complaint_about_decoding_memory(plan), "ask for fewer texts at a time");
}

TEST(MemoryPlanTest, DecodingTakesWhatIsPlanned) {
  const RunConfig config = config_with({});
  for (const int64_t prompt : {int64_t{5}, int64_t{100}}) {
    const MemoryPlan plan = plan_generation(config.model, 3, prompt, 120);
    const std::unique_ptr<Backend> backend = make_cpu_backend(1);
    const std::unique_ptr<Arena> arena = backend->make_arena(plan.arena_bytes);
    const View parameters =
        arena->allocate(DType::kFloat32, {flat_elements(config.model)}, MemoryUse::kParameters);
    backend->fill_zero(parameters);
    const std::vector<Tensor> rotations = make_rotations(config.model, 1, 0);
    Decoder decoder({.backend = *backend,
                     .arena = *arena,
                     .spec = config.model,
                     .parameters = parameters,
                     .rotations = rotations,
                     .sequences = 3,
                     .capacity = 120});
    const std::vector<int32_t> tokens(static_cast<size_t>(prompt), 1);
    for (int sequence : {0, 1, 2}) decoder.prefill(sequence, tokens);
    const std::vector<int32_t> all{0, 1, 2};
    for (int64_t i = prompt; i < 120; ++i) decoder.step(all, std::vector<int32_t>{1, 2, 3});
    EXPECT_EQ(arena->peak(), plan.arena_bytes);
    EXPECT_GT(bytes_of(plan, MemoryUse::kCache), 0U);
  }
}

}  // namespace
}  // namespace reformer
