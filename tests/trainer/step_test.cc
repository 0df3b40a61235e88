// Training steps of one rank: the same losses and parameters, to the bit, whatever does not change
// the mathematics.
#include "trainer/step.h"

#include <cmath>

#include "comm/self.h"
#include "tests/trainer/step_testing.h"
#include "trainer/schedule.h"

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
  return testing::train(run, spec, data_parallel(alone), threads);
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
  EXPECT_TRUE(train_step(run, *dataset, data_parallel(alone), rank.state, guard, 1).skipped);
  EXPECT_NE(guard.reason().find("layer 1"), std::string::npos) << guard.reason();
  EXPECT_TRUE(same_bits(rank.state.parameters, before.view()));
}

/// AdamW's formula on the moments that a step leaves.
TEST(StepTest, EveryTensorIsUpdatedAsConfigured) {
  config::Run run = small_run(config::Optimizer::ADAMW);
  run.mutable_optimizer()->set_weight_decay(0.5);
  const config::AdamW& adamw = run.optimizer().adamw();
  const ModelSpec spec = mixed_spec();
  const std::vector<ParameterInfo> parameters = list_parameters(spec);
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  SelfCommunicator alone;
  RankState rank(run, spec, alone);
  const std::vector<ShardedTensor> moments = rank.state.optimizer->state();
  ASSERT_EQ(moments.size(), 2 * parameters.size());
  SkipGuard guard(run.training());
  for (const int64_t step : {1, 2, 3}) {
    const Tensor before = testing::copy_of(rank.state.parameters);
    train_step(run, *dataset, data_parallel(alone), rank.state, guard, step);
    const double rate = learning_rate(run.training(), step);
    const double bias1 = 1 - std::pow(adamw.beta1(), static_cast<double>(step));
    const double bias2 = 1 - std::pow(adamw.beta2(), static_cast<double>(step));
    for (size_t i = 0; i < parameters.size(); ++i) {
      const ParameterInfo& parameter = parameters[i];
      const double decay = parameter.shape.rank() >= 2 ? 0.5 : 0;
      const float* const m = moments[2 * i].part.data<float>();
      const float* const v = moments[2 * i + 1].part.data<float>();
      const float* const old = parameter.in(before.view()).data<float>();
      const float* const now = parameter.in(rank.state.parameters).data<float>();
      for (int64_t j = 0; j < parameter.shape.elements(); ++j) {
        const double direction =
            m[j] / bias1 / (std::sqrt(v[j] / bias2) + adamw.epsilon()) + decay * old[j];
        ASSERT_NEAR(now[j], old[j] - rate * direction, 1e-6) << parameter.name << " step " << step;
      }
    }
  }
}

TEST(StepTest, AGradientThatIsTooLongIsBroughtDownToTheLimit) {
  double norm = 0;
  const auto first_moments = [&](double clip_norm) {
    config::Run run = small_run(config::Optimizer::ADAMW);
    run.mutable_training()->set_clip_norm(clip_norm);
    SelfCommunicator alone;
    RankState rank(run, mixed_spec(), alone);
    SkipGuard guard(run.training());
    norm = train_step(run, *make_dataset(run), data_parallel(alone), rank.state, guard, 1)
               .gradient_norm;
    return testing::copy_of(rank.state.optimizer->state()[0].part);
  };
  const Tensor whole = first_moments(0);
  EXPECT_TRUE(same_bits(first_moments(2 * norm).view(), whole.view()));
  const Tensor half = first_moments(norm / 2);
  for (int64_t i = 0; i < whole.elements(); ++i) {
    EXPECT_FLOAT_EQ(half.data<float>()[i], whole.data<float>()[i] / 2);
  }
}

TEST(StepTest, TheNormIsOfAllGradients) {
  const config::Run run = small_run(config::Optimizer::ADAMW, /*batch=*/1);
  ModelSpec spec = mixed_spec();
  spec.vocabulary = 12000;
  SelfCommunicator alone;
  RankState rank(run, spec, alone);
  SkipGuard guard(run.training());
  const double norm =
      train_step(run, *make_dataset(run), data_parallel(alone), rank.state, guard, 1).gradient_norm;
  long double squares = 0;
  for (int64_t i = 0; i < rank.state.gradients.elements(); ++i) {
    const long double gradient =
        static_cast<long double>(rank.state.gradients.data<int64_t>()[i]) * kSumStep;
    squares += gradient * gradient;
  }
  EXPECT_NEAR(norm, static_cast<double>(std::sqrt(squares)), 1e-12 * norm);
}

TEST(StepTest, AGradientTooLongForTheSumSkipsTheStep) {
  const config::Run run = small_run(config::Optimizer::ADAMW);
  ModelSpec spec = mixed_spec();
  spec.exact_sums = false;
  SelfCommunicator alone;
  RankState rank(run, spec, alone);
  // The product is as ever, so the loss is too; but the gradient of the small factor is huge.
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    float scale = 1;
    if (parameter.name == "head.norm.gamma") scale = 0x1p-70f;
    if (parameter.name == "head.weight") scale = 0x1p70f;
    float* const values = parameter.in(rank.state.parameters).data<float>();
    for (int64_t i = 0; i < parameter.shape.elements(); ++i) values[i] *= scale;
  }
  const Tensor before = testing::copy_of(rank.state.parameters);
  SkipGuard guard(run.training());
  EXPECT_TRUE(
      train_step(run, *make_dataset(run), data_parallel(alone), rank.state, guard, 1).skipped);
  EXPECT_EQ(guard.reason(), "the gradient norm is not finite");
  EXPECT_TRUE(same_bits(rank.state.parameters, before.view()));
}

}  // namespace
}  // namespace reformer
