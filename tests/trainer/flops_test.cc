// Nominal arithmetic, counted by hand.
#include "trainer/model/flops.h"

#include <gtest/gtest.h>

#include "tests/trainer/model_testing.h"

namespace reformer {
namespace {

using testing::small_spec;

// small_spec: width 24, H·D = 16, ff_width 40, vocabulary 40, chunks of 16, two rounds if hashed.
constexpr double kHead = 2 * (2 * 24) * 40;
constexpr double kFeedForward = 2 * (24 * 40 + 40 * 24);
constexpr double kProjections = 2 * 3 * 24 * 16;       // query-key, value, output
constexpr double kLocalProjections = 2 * 4 * 24 * 16;  // query, key, value, output
constexpr double kPair = 2 * 2 * 16;                   // score and weighted value, all heads

/// Operations per token beyond head, feed-forward and projections.
double attention_flops(AttentionKind kind, bool causal, int64_t length) {
  ModelSpec spec = small_spec({kind});
  spec.layers[0].attention.causal = causal;
  const double projections = kind == AttentionKind::kLocal ? kLocalProjections : kProjections;
  return forward_flops_per_token(spec, length) - kHead - kFeedForward - projections;
}

TEST(FlopsTest, AFullLayerSeesHalfTheSequenceOrAllOfIt) {
  EXPECT_EQ(attention_flops(AttentionKind::kFull, true, 100), kPair * 50);
  EXPECT_EQ(attention_flops(AttentionKind::kFull, false, 100), kPair * 100);
}

TEST(FlopsTest, ALocalLayerSeesChunksNoLongerThanTheSequence) {
  EXPECT_EQ(attention_flops(AttentionKind::kLocal, true, 100), kPair * 24);
  EXPECT_EQ(attention_flops(AttentionKind::kLocal, false, 100), kPair * 48);
  EXPECT_EQ(attention_flops(AttentionKind::kLocal, true, 10), kPair * 5);
  EXPECT_EQ(attention_flops(AttentionKind::kLocal, false, 10), kPair * 10);
}

TEST(FlopsTest, AHashedLayerSeesItsNeighbourhoodInEveryRound) {
  EXPECT_EQ(attention_flops(AttentionKind::kStrict, true, 100), kPair * 2 * 8);
  EXPECT_EQ(attention_flops(AttentionKind::kStrict, true, 10), kPair * 2 * 5);
  EXPECT_EQ(attention_flops(AttentionKind::kChunked, true, 100), kPair * 2 * 32);
  EXPECT_EQ(attention_flops(AttentionKind::kChunked, false, 100), kPair * 2 * 48);
  EXPECT_EQ(attention_flops(AttentionKind::kChunked, false, 40), kPair * 2 * 40);
}

TEST(FlopsTest, LayersAddUp) {
  const ModelSpec spec = small_spec({AttentionKind::kFull, AttentionKind::kLocal});
  const double expected =
      kHead + 2 * kFeedForward + kProjections + kLocalProjections + kPair * 50 + kPair * 24;
  EXPECT_EQ(forward_flops_per_token(spec, 100), expected);
  EXPECT_EQ(step_flops_per_token(spec, 100), 4 * expected);
}

}  // namespace
}  // namespace reformer
