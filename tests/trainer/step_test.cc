// Training steps: the same losses and parameters, to the bit, whatever does not change the
// mathematics.
#include "trainer/step.h"

#include <gtest/gtest.h>

#include "comm/self.h"
#include "tests/trainer/model_testing.h"

namespace reformer {
namespace {

using testing::same_bits;
using testing::small_spec;

constexpr int64_t kLength = 100;
constexpr int64_t kSteps = 20;

/// What a training run ends with.
struct Outcome {
  std::vector<double> losses;
  std::vector<Tensor> tensors;  // parameters and optimizer state
};

config::Run small_run(config::Optimizer::Kind optimizer) {
  config::Run run;
  run.mutable_data()->set_source(config::Data::DUPLICATION);
  run.mutable_data()->set_length(kLength);
  run.mutable_data()->set_symbols(39);
  run.mutable_training()->set_batch(4);
  run.mutable_training()->set_steps(kSteps);
  run.mutable_training()->mutable_schedule()->set_warmup(5);
  run.mutable_training()->mutable_schedule()->set_rate(
      optimizer == config::Optimizer::ADAMW ? 3e-3 : 3e-2);
  run.mutable_optimizer()->set_kind(optimizer);
  return run;
}

ModelSpec mixed_spec() {
  ModelSpec spec = small_spec({AttentionKind::kStrict, AttentionKind::kLocal,
                               AttentionKind::kChunked, AttentionKind::kFull});
  spec.dropout = 0.1f;
  spec.attention_dropout = 0.1f;
  return spec;
}

Outcome train(const config::Run& run, const ModelSpec& spec, int threads) {
  const std::unique_ptr<Backend> backend = make_cpu_backend(threads);
  const std::unique_ptr<Arena> arena = backend->make_arena(size_t{1} << 28);
  TrainingState state(run, spec, *backend, *arena);
  state.initialize_parameters(run.training().seed());
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  SelfCommunicator communicator;
  SkipGuard guard(run.training());
  Outcome outcome;
  for (int64_t step = 1; step <= run.training().steps(); ++step) {
    const StepResult result = train_step(run, *dataset, communicator, state, guard, step);
    EXPECT_FALSE(result.skipped);
    outcome.losses.push_back(result.loss);
  }
  for (const NamedView& tensor : state.tensors()) {
    outcome.tensors.emplace_back(tensor.view.dtype(), tensor.view.shape());
    backend->download(tensor.view, outcome.tensors.back().view().raw());
  }
  return outcome;
}

void expect_same(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.losses, b.losses);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_TRUE(same_bits(a.tensors[i].view(), b.tensors[i].view())) << "tensor " << i;
  }
}

class StepTest : public ::testing::TestWithParam<config::Optimizer::Kind> {};

TEST_P(StepTest, SameBitsOnAnyThreadsInAnyMicroBatchesStoredOrReconstructed) {
  config::Run run = small_run(GetParam());
  ModelSpec spec = mixed_spec();
  const Outcome expected = train(run, spec, 1);
  EXPECT_LT(expected.losses.back(), expected.losses.front());

  expect_same(train(run, spec, 2), expected);
  run.mutable_training()->set_micro_batch(1);
  expect_same(train(run, spec, 2), expected);
  run.mutable_training()->set_micro_batch(3);
  expect_same(train(run, spec, 3), expected);
  spec.store_activations = true;
  expect_same(train(run, spec, 2), expected);
}

INSTANTIATE_TEST_SUITE_P(Optimizers, StepTest,
                         ::testing::Values(config::Optimizer::ADAMW, config::Optimizer::ADAFACTOR));

TEST(StepTest, ASaturatedStreamSkipsTheStepAndLeavesTheStateAlone) {
  const config::Run run = small_run(config::Optimizer::ADAMW);
  const ModelSpec spec = mixed_spec();
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  const std::unique_ptr<Arena> arena = backend->make_arena(size_t{1} << 28);
  TrainingState state(run, spec, *backend, *arena);
  state.initialize_parameters(1);
  // The bias of the second layer's feed-forward block leaves the range of the stream.
  const ParameterInfo* bias = nullptr;
  const std::vector<ParameterInfo> parameters = list_parameters(spec);
  for (const ParameterInfo& parameter : parameters) {
    if (parameter.name == "layers.1.feed_forward.contract.bias") bias = &parameter;
  }
  ASSERT_NE(bias, nullptr);
  bias->in(state.parameters).data<float>()[0] = 1e5f;
  Tensor before(DType::kFloat32, state.parameters.shape());
  backend->download(state.parameters, before.view().raw());

  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  SelfCommunicator communicator;
  SkipGuard guard(run.training());
  EXPECT_TRUE(train_step(run, *dataset, communicator, state, guard, 1).skipped);
  EXPECT_NE(guard.reason().find("layer 1"), std::string::npos) << guard.reason();
  EXPECT_TRUE(same_bits(state.parameters, before.view()));
}

}  // namespace
}  // namespace reformer
