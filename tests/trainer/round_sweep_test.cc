#include "trainer/evaluation/round_sweep.h"

#include <gtest/gtest.h>

#include "comm/self.h"
#include "tests/trainer/step_testing.h"

namespace reformer {
namespace {

TEST(RoundSweepTest, ChangesTheLayersThatHash) {
  const ModelSpec spec = testing::mixed_spec();  // STRICT, LOCAL, CHUNKED, FULL
  const ModelSpec eight = with_rounds(spec, 8);
  EXPECT_EQ(eight.layers[0].attention.rounds, 8);
  EXPECT_EQ(eight.layers[1].attention.rounds, 1);
  EXPECT_EQ(eight.layers[2].attention.rounds, 8);
  EXPECT_EQ(eight.layers[2].attention.kind, AttentionKind::kChunked);
  const ModelSpec full = with_rounds(spec, kAllKeys);
  EXPECT_EQ(full.layers[0].attention.kind, AttentionKind::kFull);
  EXPECT_EQ(full.layers[1].attention.kind, AttentionKind::kLocal);
  EXPECT_EQ(full.layers[2].attention.kind, AttentionKind::kFull);
  EXPECT_TRUE(full.layers[0].buckets.empty());
}

TEST(RoundSweepTest, EvaluatesEachNumberOfRoundsWithEachSeed) {
  const config::Run run = testing::small_run(config::Optimizer::ADAMW);
  SelfCommunicator alone;
  testing::RankState rank(run, testing::mixed_spec(), alone);
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  const std::vector<SweepPoint> points =
      sweep_rounds(run, *dataset, data_parallel(alone), rank.state, {1, 2, kAllKeys}, 3);
  ASSERT_EQ(points.size(), 3U);
  EXPECT_EQ(points[0].results.size(), 3U);
  EXPECT_GT(points[0].loss_deviation(), 0);
  EXPECT_EQ(points[2].results.size(), 1U);
  EXPECT_EQ(points[2].loss_deviation(), 0);
  // The model has two rounds, and the first seed is its own.
  const EvaluationResult own = evaluate(run, *dataset, data_parallel(alone), rank.state);
  EXPECT_EQ(points[1].results[0].loss, own.loss);
  const ModelSpec one = with_rounds(rank.state.spec, 1);
  const uint64_t third = run.evaluation().seed() + 2;
  EXPECT_EQ(points[0].results[2].loss,
            evaluate(run, *dataset, data_parallel(alone), rank.state, {.spec = &one, .seed = third})
                .loss);
}

TEST(RoundSweepTest, TellsMeanAndSpread) {
  const SweepPoint point{.rounds = 4,
                         .results = {{.loss = 1, .accuracy = 0.25, .tokens = 8},
                                     {.loss = 3, .accuracy = 0.75, .tokens = 8}}};
  EXPECT_DOUBLE_EQ(point.mean_loss(), 2);
  EXPECT_DOUBLE_EQ(point.loss_deviation(), std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(point.mean_accuracy(), 0.5);
  const std::string table = describe({point, {.rounds = kAllKeys, .results = {{}}}}, "byte");
  EXPECT_NE(table.find("\n     4              2.8854        2.0403 of 2    50.00%"),
            std::string::npos)
      << table;
  EXPECT_NE(table.find("\n  full"), std::string::npos);
}

}  // namespace
}  // namespace reformer
