// What a plan says is what the process takes, as the kernel counts it. A program of its own: the
// peak is that of the whole process.
#include <gtest/gtest.h>

#include "comm/self.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/trainer/config_testing.h"
#include "trainer/evaluation/evaluate.h"
#include "trainer/process_memory.h"
#include "trainer/run_plan.h"
#include "trainer/step.h"

namespace reformer {
namespace {

constexpr const char* kConfig = R"(
data { source: DUPLICATION length: 32768 symbols: 200 }
model {
  vocabulary: 256 width: 256 ff_width: 512 heads: 4 layers: 2
  attention_pattern: LSH attention_pattern: LOCAL
}
training { batch: 1 steps: 10 schedule { warmup: 2 } }
evaluation { sequences: 1 }
)";

TEST(ResidentMemoryTest, GrowsByWhatIsPlanned) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers take memory of their own";
#endif
  const RunConfig config = testing::parse(kConfig);
  const std::unique_ptr<Backend> backend = make_cpu_backend(2);
  const RunPlan plan = plan_run(config, 1, *backend);
  const size_t before = resident_memory();
  ASSERT_GT(before, 0u);

  const std::unique_ptr<Arena> arena = take(plan.ranks[0].step.memory, *backend);
  const std::unique_ptr<Dataset> dataset = make_dataset(config.run);
  SelfCommunicator alone;
  const RankGroups ranks = data_parallel(alone);
  TrainingState state(config.run, config.model, *backend, *arena);
  state.initialize_parameters(1);
  SkipGuard guard(config.run.training());
  train_step(config.run, *dataset, ranks, state, guard, 1);
  evaluate(config.run, *dataset, ranks, state);
  EXPECT_EQ(arena->peak(), plan.ranks[0].step.memory.arena_bytes);

  const auto planned = static_cast<double>(plan.bytes(*backend));
  const auto taken = static_cast<double>(peak_resident_memory() - before);
  std::printf("planned %s, taken %s\n", format_bytes(plan.bytes(*backend)).c_str(),
              format_bytes(peak_resident_memory() - before).c_str());
  EXPECT_NEAR(taken / planned, 1, 0.05);
}

}  // namespace
}  // namespace reformer
