// Evaluation against the definition of its numbers.
#include "trainer/evaluation/evaluate.h"

#include <cmath>

#include <gtest/gtest.h>

#include "comm/self.h"
#include "tests/trainer/step_testing.h"

namespace reformer {
namespace {

class EvaluateTest : public ::testing::Test {
 protected:
  EvaluateTest()
      : run_(testing::small_run(config::Optimizer::ADAMW)),
        rank_(run_, testing::mixed_spec(), alone_),
        dataset_(make_dataset(run_)) {}

  EvaluationResult result(const EvaluationOptions& options = {}) {
    return evaluate(run_, *dataset_, data_parallel(alone_), rank_.state, options);
  }

  config::Run run_;
  SelfCommunicator alone_;
  testing::RankState rank_;
  std::unique_ptr<Dataset> dataset_;
};

TEST_F(EvaluateTest, IsTheMeanOverTheLabelsThatCount) {
  double loss = 0;
  int64_t correct = 0;
  int64_t counted = 0;
  const std::vector<Tensor> rotations =
      make_rotations(rank_.state.spec, run_.evaluation().seed(), 0);
  for (int64_t sequence = 0; sequence < 5; ++sequence) {
    const TokenBatch batch = dataset_->validation_batch(sequence, 1);
    const Arena::Mark mark(*rank_.arena);
    const Pass pass{.backend = *rank_.backend,
                    .arena = *rank_.arena,
                    .spec = rank_.state.spec,
                    .layout = rank_.state.layout_of(sequence, 1, {0, testing::kRunLength}),
                    .mask = {},
                    .rotations = rotations,
                    .training = false,
                    .faults = rank_.state.faults};
    const int64_t vocabulary = rank_.state.spec.vocabulary;
    Tensor logits(DType::kFloat32, {testing::kRunLength, vocabulary});
    rank_.state.model.logits(pass, batch.tokens.view().reshape({testing::kRunLength}),
                             logits.view());
    for (int64_t i = 0; i < testing::kRunLength; ++i) {
      const int32_t label = batch.labels.data<int32_t>()[i];
      if (label == kIgnoredLabel) continue;
      const float* const row = logits.data<float>() + i * vocabulary;
      double total = 0;
      for (int64_t v = 0; v < vocabulary; ++v) total += std::exp(static_cast<double>(row[v]));
      loss += std::log(total) - static_cast<double>(row[label]);
      correct += std::max_element(row, row + vocabulary) - row == label;
      ++counted;
    }
  }
  const EvaluationResult got = result();
  EXPECT_EQ(got.tokens, counted);
  EXPECT_NEAR(got.loss, loss / static_cast<double>(counted), 1e-6);
  EXPECT_DOUBLE_EQ(got.accuracy, static_cast<double>(correct) / static_cast<double>(counted));
}

TEST_F(EvaluateTest, MicroBatchesChangeNoBit) {
  const EvaluationResult first = result();
  run_.mutable_evaluation()->set_micro_batch(1);
  EXPECT_EQ(result().loss, first.loss);
  run_.mutable_evaluation()->set_micro_batch(5);
  EXPECT_EQ(result().loss, first.loss);
}

TEST_F(EvaluateTest, OtherSeedsAndShapesGiveOtherNumbers) {
  const double loss = result().loss;
  EXPECT_EQ(result({.seed = run_.evaluation().seed()}).loss, loss);
  EXPECT_NE(result({.seed = 99}).loss, loss);
  ModelSpec other = rank_.state.spec;
  other.layers[0].attention.rounds = 5;
  EXPECT_NE(result({.spec = &other}).loss, loss);
  EXPECT_EQ(result().loss, loss);
}

TEST_F(EvaluateTest, ValuesOutsideTheStreamsAreCounted) {
  EXPECT_EQ(result().faults, 0);
  EXPECT_EQ(describe(result(), "byte").find("range"), std::string::npos);
  float* const parameters = rank_.state.parameters.data<float>();
  std::fill_n(parameters, rank_.state.parameters.elements(), 1e6f);
  const EvaluationResult broken = result();
  EXPECT_GT(broken.faults, 0);
  EXPECT_NE(describe(broken, "byte").find("left the range of the residual streams"),
            std::string::npos);
}

TEST_F(EvaluateTest, LookingAtTheHashChangesNoBit) {
  const double loss = result().loss;
  LshHealth health(rank_.state.spec, 3, 1);
  EXPECT_EQ(result({.health = &health}).loss, loss);
  const std::vector<HeadHealth> heads = health.result(alone_);
  ASSERT_EQ(heads.size(), 4U);  // of two LSH layers of four
  EXPECT_EQ(heads[2].layer, 2);
  for (const HeadHealth& head : heads) EXPECT_GT(head.found_mass, 0);
}

}  // namespace
}  // namespace reformer
