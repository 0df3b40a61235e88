// Training steps of one rank: the same losses and parameters, to the bit, whatever does not change
// the mathematics.
#include "trainer/step.h"

#include "comm/self.h"
#include "tests/trainer/step_testing.h"

namespace reformer {
namespace {

using testing::expect_same;
using testing::mixed_spec;
using testing::Outcome;
using testing::RankState;
using testing::same_bits;
using testing::small_run;

Outcome train_alone(const config::Run& run, const ModelSpec& spec, int threads) {
  SelfCommunicator alone;
  return testing::train(run, spec, alone, threads);
}

class StepTest : public ::testing::TestWithParam<config::Optimizer::Kind> {};

TEST_P(StepTest, SameBitsOnAnyThreadsInAnyMicroBatchesStoredOrReconstructed) {
  config::Run run = small_run(GetParam());
  ModelSpec spec = mixed_spec();
  const Outcome expected = train_alone(run, spec, 1);
  EXPECT_LT(expected.losses.back(), expected.losses.front());

  expect_same(train_alone(run, spec, 2), expected);
  run.mutable_training()->set_micro_batch(1);
  run.mutable_evaluation()->set_micro_batch(3);
  expect_same(train_alone(run, spec, 2), expected);
  run.mutable_training()->set_micro_batch(3);
  expect_same(train_alone(run, spec, 3), expected);
  spec.store_activations = true;
  expect_same(train_alone(run, spec, 2), expected);
}

INSTANTIATE_TEST_SUITE_P(Optimizers, StepTest,
                         ::testing::Values(config::Optimizer::ADAMW, config::Optimizer::ADAFACTOR));

TEST(StepTest, ASaturatedStreamSkipsTheStepAndLeavesTheStateAlone) {
  const config::Run run = small_run(config::Optimizer::ADAMW);
  const ModelSpec spec = mixed_spec();
  SelfCommunicator alone;
  RankState rank(run, spec, alone);
  // The bias of the second layer's feed-forward block leaves the range of the stream.
  const ParameterInfo* bias = nullptr;
  const std::vector<ParameterInfo> parameters = list_parameters(spec);
  for (const ParameterInfo& parameter : parameters) {
    if (parameter.name == "layers.1.feed_forward.contract.bias") bias = &parameter;
  }
  ASSERT_NE(bias, nullptr);
  bias->in(rank.state.parameters).data<float>()[0] = 1e5f;
  const Tensor before = testing::copy_of(rank.state.parameters);

  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  SkipGuard guard(run.training());
  EXPECT_TRUE(train_step(run, *dataset, alone, rank.state, guard, 1).skipped);
  EXPECT_NE(guard.reason().find("layer 1"), std::string::npos) << guard.reason();
  EXPECT_TRUE(same_bits(rank.state.parameters, before.view()));
}

}  // namespace
}  // namespace reformer
