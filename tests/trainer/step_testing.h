// Short training runs on any number of ranks, and what they end with.
#pragma once

#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "comm/rank_groups.h"
#include "tests/trainer/model_testing.h"
#include "trainer/evaluation/evaluate.h"
#include "trainer/step.h"

namespace reformer::testing {

constexpr int64_t kRunLength = 100;  // tokens of a sequence
// Sanitizers are slow, and look at accesses, which are the same in every step.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
constexpr int64_t kRunSteps = kSanitized ? 6 : 20;

/// What a training run ends with, on rank 0.
struct Outcome {
  std::vector<double> losses;
  std::vector<double> accuracies;
  std::vector<double> norms;
  EvaluationResult evaluation;
  std::vector<HeadHealth> health;  // empty where it cannot be observed
  std::vector<Tensor> tensors;     // parameters and optimizer state, whole
};

inline config::Run small_run(config::Optimizer::Kind optimizer, int64_t batch = 4) {
  config::Run run;
  run.mutable_data()->set_source(config::Data::DUPLICATION);
  run.mutable_data()->set_length(kRunLength);
  run.mutable_data()->set_symbols(39);
  run.mutable_training()->set_batch(batch);
  run.mutable_training()->set_steps(kRunSteps);
  run.mutable_training()->mutable_schedule()->set_warmup(5);
  run.mutable_training()->mutable_schedule()->set_rate(
      optimizer == config::Optimizer::ADAMW ? 3e-3 : 3e-2);
  run.mutable_optimizer()->set_kind(optimizer);
  run.mutable_evaluation()->set_sequences(5);
  run.mutable_evaluation()->set_micro_batch(2);
  return run;
}

/// All kinds of attention, dropout, and a position table of four elements.
inline ModelSpec mixed_spec() {
  ModelSpec spec = small_spec({AttentionKind::kStrict, AttentionKind::kLocal,
                               AttentionKind::kChunked, AttentionKind::kFull});
  spec.position_axes = {
      {.extent = 2, .width = 2}, {.extent = 10, .width = 6}, {.extent = 15, .width = 16}};
  spec.dropout = 0.1f;
  spec.attention_dropout = 0.1f;
  return spec;
}

/// A state with its backend and memory, for one rank.
struct RankState {
  RankState(const config::Run& run, const ModelSpec& spec, const Communicator& communicator,
            int threads = 1)
      : backend(make_cpu_backend(threads)),
        arena(backend->make_arena(size_t{1} << 28)),
        state(run, spec, *backend, *arena, communicator.rank(), communicator.size()) {
    state.initialize_parameters(run.training().seed());
  }

  std::unique_ptr<Backend> backend;
  std::unique_ptr<Arena> arena;
  TrainingState state;
};

inline Outcome train(const config::Run& run, const ModelSpec& spec, const RankGroups& ranks,
                     int threads = 1) {
  RankState rank(run, spec, ranks.world, threads);
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  SkipGuard guard(run.training());
  Outcome outcome;
  for (int64_t step = 1; step <= run.training().steps(); ++step) {
    const StepResult result = train_step(run, *dataset, ranks, rank.state, guard, step);
    EXPECT_FALSE(result.skipped);
    outcome.losses.push_back(result.loss);
    outcome.accuracies.push_back(result.accuracy);
    outcome.norms.push_back(result.gradient_norm);
  }
  LshHealth health(spec, 4, run.evaluation().seed());
  const bool observed = LshHealth::can_observe(ranks.mesh);
  outcome.evaluation =
      evaluate(run, *dataset, ranks, rank.state, {.health = observed ? &health : nullptr});
  if (observed) outcome.health = health.result(ranks.world);
  for (const NamedView& tensor : rank.state.parameter_views()) {
    outcome.tensors.push_back(copy_of(tensor.view));
  }
  for (const ShardedTensor& tensor : rank.state.optimizer->state()) {
    outcome.tensors.push_back(gather(tensor, *rank.backend, ranks.world));
  }
  return outcome;
}

inline void expect_same(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.accuracies, b.accuracies);
  EXPECT_EQ(a.norms, b.norms);
  EXPECT_EQ(a.evaluation.loss, b.evaluation.loss);
  EXPECT_EQ(a.evaluation.accuracy, b.evaluation.accuracy);
  EXPECT_EQ(a.evaluation.tokens, b.evaluation.tokens);
  if (!a.health.empty() && !b.health.empty()) EXPECT_EQ(a.health, b.health);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_TRUE(same_bits(a.tensors[i].view(), b.tensors[i].view())) << "tensor " << i;
  }
}

}  // namespace reformer::testing
