// Token by token and all at once: the same loss where no later token is seen.
#include "trainer/evaluation/evaluate_decoded.h"

#include <gtest/gtest.h>

#include "comm/self.h"
#include "tests/trainer/step_testing.h"

namespace reformer {
namespace {

struct Losses {
  EvaluationResult at_once;
  EvaluationResult decoded;
};

Losses losses_of(const std::vector<AttentionKind>& kinds) {
  const config::Run run = testing::small_run(config::Optimizer::ADAMW);
  ModelSpec spec = testing::small_spec(kinds);
  SelfCommunicator alone;
  testing::RankState rank(run, spec, alone);
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  return {evaluate(run, *dataset, data_parallel(alone), rank.state),
          evaluate_decoded(run, *dataset, rank.state)};
}

TEST(EvaluateDecodedTest, AgreesWhereNoLaterTokenIsSeen) {
  const Losses losses =
      losses_of({AttentionKind::kStrict, AttentionKind::kLocal, AttentionKind::kFull});
  EXPECT_EQ(losses.decoded.tokens, losses.at_once.tokens);
  EXPECT_NEAR(losses.decoded.loss, losses.at_once.loss, 1e-5);
  EXPECT_NEAR(losses.decoded.accuracy, losses.at_once.accuracy, 0.01);
  EXPECT_EQ(losses.decoded.faults, 0);
}

TEST(EvaluateDecodedTest, DiffersWhereLaterTokensChooseTheNeighbours) {
  const Losses losses = losses_of({AttentionKind::kChunked, AttentionKind::kChunked});
  EXPECT_GT(std::abs(losses.decoded.loss - losses.at_once.loss), 1e-4);
}

}  // namespace
}  // namespace reformer
