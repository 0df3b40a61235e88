// Runs on ranks that are threads take, and send, what their plan says.
#include "trainer/run_plan.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "comm/threads.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/observed_backend.h"
#include "tests/trainer/config_testing.h"
#include "trainer/derive_mesh.h"
#include "trainer/evaluation/evaluate.h"
#include "trainer/step.h"

namespace reformer {
namespace {

constexpr const char* kConfig = R"(
data { source: DUPLICATION length: 512 symbols: 20 }
model {
  vocabulary: 32 width: 32 ff_width: 48 heads: 4 layers: 2
  attention_pattern: LSH attention_pattern: LOCAL
  lsh { chunk_length: 16 } local { chunk_length: 16 }
}
training { batch: 4 steps: 10 schedule { warmup: 2 } }
evaluation { sequences: 4 }
execution { leaf_tokens: 128 }
)";

// Which ranks a token of shared buckets goes to is for the data to say. The plan has them spread
// evenly, and takes the other ranks to send what the one at hand sends.
constexpr double kSpread = 0.02;
constexpr double kUnevenShares = 0.25;

struct Case {
  const char* name;
  int ranks;
  std::vector<std::string> overrides;
  double bytes_off = 0.001;
};

void PrintTo(const Case& run, std::ostream* out) {
  *out << run.name;
}

/// What a rank really takes: its arena at most, and in one step what it sends and computes.
PlannedStep measure(const RunConfig& config, Communicator& world) {
  PlannedStep step;
  const std::unique_ptr<Backend> real = make_cpu_backend(1);
  const std::unique_ptr<Backend> backend = make_observed_backend(
      *real, [&](std::string_view op, const OpCost& cost, const std::function<void()>& run) {
        step.ops.try_emplace(std::string(op)).first->second += cost;
        run();
      });
  const Mesh place = derive_mesh(config, *backend, world.rank(), world.size());
  const RankGroups ranks = split_by_mesh(world, place);
  const std::unique_ptr<Arena> arena = real->make_arena(size_t{1} << 28);
  const std::unique_ptr<Dataset> dataset = make_dataset(config.run);
  TrainingState state(config.run, config.model, *backend, *arena, place.rank(), place.size());
  state.initialize_parameters(1);
  SkipGuard guard(config.run.training());
  step.ops.clear();
  const auto traffic = std::make_shared<Traffic>();
  const std::vector<Communicator*> groups = {&world, ranks.sequence.get(), ranks.heads.get(),
                                             ranks.buckets.get()};
  const auto observe = [&](const std::shared_ptr<OperationObserver>& observer) {
    for (Communicator* group : groups) {
      if (group != nullptr) group->set_observer(observer);
    }
  };
  observe(traffic);
  train_step(config.run, *dataset, ranks, state, guard, 1);
  observe(nullptr);
  const OpCosts ops = step.ops;
  evaluate(config.run, *dataset, ranks, state);
  step.ops = ops;
  step.sent = traffic->by_purpose();
  step.memory = {.arena_bytes = arena->peak(), .by_use = arena->usage_at_peak()};
  return step;
}

int64_t bytes_of(const Traffic::ByPurpose& sent) {
  int64_t bytes = 0;
  for (const auto& [purpose, sum] : sent) bytes += sum.bytes;
  return bytes;
}

/// |planned / real − 1|.
double difference(double planned, double real) {
  return planned == real ? 0 : std::abs(planned / real - 1);
}

class RunPlanTest : public ::testing::TestWithParam<Case> {};

TEST_P(RunPlanTest, IsWhatEveryRankTakesAndSends) {
  const Case& run = GetParam();
  const RunConfig config = testing::parse(kConfig, run.overrides);
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  std::vector<PlannedStep> real(static_cast<size_t>(run.ranks));
  run_as_threads(run.ranks, [&](Communicator& world) {
    real[static_cast<size_t>(world.rank())] = measure(config, world);
  });
  for (int rank = 0; rank < run.ranks; ++rank) {
    SCOPED_TRACE(::testing::Message() << "rank " << rank);
    const Mesh place = derive_mesh(config, *backend, rank, run.ranks);
    const PlannedStep planned = plan_step(config, place, backend.get());
    const PlannedStep& measured = real[static_cast<size_t>(rank)];
    const double memory = difference(static_cast<double>(planned.memory.arena_bytes),
                                     static_cast<double>(measured.memory.arena_bytes));
    const double sent = difference(static_cast<double>(bytes_of(planned.sent)),
                                   static_cast<double>(bytes_of(measured.sent)));
    const double flops = difference(planned.flops(), measured.flops());
    fmt::print(
        "{:<36} {} of {}: {:>9} bytes ({:.3f}% off), sends {:>9} ({:.3f}%), {:.1f} MFLOP "
        "({:.3f}%)\n",
        run.name, rank, run.ranks, planned.memory.arena_bytes, 100 * memory, bytes_of(planned.sent),
        100 * sent, planned.flops() * 1e-6, 100 * flops);
    EXPECT_LE(measured.memory.arena_bytes, planned.memory.arena_bytes);
    // Others have more sequences than this rank, which could do with less than what is planned.
    if (planned.sequences >= micro_batch_of(config.run.training()) ||
        planned.sequences * place.data_size >= config.run.training().batch()) {
      EXPECT_LT(memory, 0.05);
    }
    EXPECT_LT(sent, run.bytes_off);
    EXPECT_LT(flops, 0.001);
    for (const auto& [purpose, sum] : measured.sent) {
      ASSERT_TRUE(planned.sent.contains(purpose)) << purpose;
      EXPECT_EQ(planned.sent.at(purpose).operations, sum.operations) << purpose;
    }
  }
  size_t most = 0;
  for (const PlannedStep& step : real) most = std::max(most, step.memory.arena_bytes);
  const RunPlan plan = plan_run(config, run.ranks, *backend);
  EXPECT_LT(difference(static_cast<double>(plan.ranks.back().step.memory.arena_bytes),
                       static_cast<double>(most)),
            0.05);
  EXPECT_EQ(plan.bytes(*backend), plan_bytes(config, run.ranks, *backend));
}

INSTANTIATE_TEST_SUITE_P(
    Runs, RunPlanTest,
    ::testing::Values(
        Case{"one rank", 1, {}}, Case{"two ranks", 2, {}},
        Case{"four ranks, micro-batches of one", 4, {"training.batch=8", "training.micro_batch=1"}},
        Case{"three ranks, uneven", 3, {"training.batch=7", "training.micro_batch=1"}},
        Case{"eight layers", 2, {"model.layers=8"}},
        Case{"all LOCAL", 2, {"model.attention_pattern=[LOCAL]", "model.lsh="}},
        Case{"all LSH, CHUNKED",
             2,
             {"model.attention_pattern=[LSH]", "model.local=", "model.lsh.mode=CHUNKED"}},
        Case{"FULL", 2, {"model.attention_pattern=[FULL]", "model.lsh=", "model.local="}},
        Case{"Adafactor", 3, {"optimizer.kind=ADAFACTOR", "training.batch=6"}},
        Case{"dropout, duplicates corrected",
             2,
             {"model.dropout=0.1", "model.attention_dropout=0.1",
              "model.lsh.correct_duplicates=true"}},
        Case{"stored", 2, {"execution.activations=STORE"}},
        Case{
            "Float32 sums and streams", 2, {"execution.sums=SUM_FLOAT32", "model.streams=FLOAT32"}},
        Case{"wide vocabulary", 4, {"model.vocabulary=3000", "training.batch=32"}},
        Case{"more ranks than sequences", 4, {"training.batch=2", "parallel.sequence=1"}},
        Case{"sequences shared by heads", 2, {"training.batch=1"}},
        Case{"two by two, by heads", 4, {"training.batch=2", "training.micro_batch=1"}},
        Case{"sequences shared by buckets", 2, {"training.batch=1", "parallel.heads=1"}, kSpread},
        Case{"heads by buckets", 4, {"training.batch=1", "parallel.heads=2"}, kSpread},
        Case{"buckets of three, stored",
             3,
             {"training.batch=1", "parallel.heads=1", "execution.activations=STORE",
              "data.length=768"},
             kSpread},
        Case{"buckets of three, 1, 1 and 2 leaves",
             3,
             {"training.batch=1", "parallel.heads=1"},
             kUnevenShares},
        Case{"two groups of buckets, CHUNKED",
             4,
             {"training.batch=4", "parallel.sequence=2", "parallel.heads=1",
              "model.lsh.mode=CHUNKED", "model.lsh.rounds=4"},
             kSpread},
        Case{
            "FULL, by heads",
            4,
            {"training.batch=1", "model.attention_pattern=[FULL]", "model.lsh=", "model.local="}}));

}  // namespace
}  // namespace reformer
