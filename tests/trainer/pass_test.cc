// How a micro-batch is cut into chunks, and the random streams and fault counters of a pass.
#include "trainer/model/pass.h"

#include <set>

#include <gtest/gtest.h>

#include "tests/trainer/model_testing.h"

namespace reformer {
namespace {

using testing::small_spec;
using testing::TestModel;

TokenLayout layout_of(int64_t samples, int64_t length, int64_t leaf = 256) {
  return {.samples = samples, .length = length, .first_sample = 40, .leaf = leaf};
}

/// Every chunk describes its own rows of the micro-batch.
void expect_consistent(const TokenChunk& chunk, const TokenLayout& whole) {
  EXPECT_EQ(chunk.layout.rows(), chunk.end - chunk.begin);
  EXPECT_EQ(chunk.layout.tile, whole.tile);
  EXPECT_EQ(chunk.layout.leaf, whole.leaf);
  EXPECT_EQ(chunk.layout.first_sample, whole.first_sample + chunk.begin / whole.length);
  EXPECT_EQ(chunk.layout.first_position, chunk.begin % whole.length);
  EXPECT_EQ(chunk.layout.first_position % whole.leaf, 0) << "a leaf is cut";
  const int64_t last = chunk.end % whole.length;
  EXPECT_TRUE(last == 0 || last % whole.leaf == 0) << "a leaf is cut";
}

TEST(TokenChunksTest, CoverEveryRowOnceInOrderAndCutNoLeaf) {
  for (int64_t samples : {1, 2, 5}) {
    for (int64_t length : {1, 100, 256, 257, 1000, 1024}) {
      for (int64_t tokens : {1, 100, 255, 256, 300, 512, 1000, 2100, 100000}) {
        SCOPED_TRACE(::testing::Message() << samples << " x " << length << " by " << tokens);
        const TokenLayout layout = layout_of(samples, length);
        int64_t next = 0;
        for (const TokenChunk& chunk : token_chunks(layout, tokens)) {
          EXPECT_EQ(chunk.begin, next);
          EXPECT_GT(chunk.end, chunk.begin);
          expect_consistent(chunk, layout);
          EXPECT_LE(chunk.end - chunk.begin, std::max(tokens, layout.leaf));
          next = chunk.end;
        }
        EXPECT_EQ(next, layout.rows());
      }
    }
  }
}

TEST(TokenChunksTest, SeveralWholeSequencesFitOneChunk) {
  const std::vector<TokenChunk> chunks = token_chunks(layout_of(5, 100), 250);
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].layout.samples, 2);
  EXPECT_EQ(chunks[1].layout.samples, 2);
  EXPECT_EQ(chunks[1].layout.first_sample, 42);
  EXPECT_EQ(chunks[2].layout.samples, 1);
  EXPECT_EQ(chunks[2].begin, 400);
}

TEST(TokenChunksTest, ALongSequenceIsCutIntoAsManyLeavesAsFit) {
  const std::vector<TokenChunk> chunks = token_chunks(layout_of(2, 1000, 128), 300);
  ASSERT_EQ(chunks.size(), 8u);
  EXPECT_EQ(chunks[0].end, 256);
  EXPECT_EQ(chunks[3].begin, 768);
  EXPECT_EQ(chunks[3].end, 1000);
  EXPECT_EQ(chunks[4].begin, 1000);
  EXPECT_EQ(chunks[4].layout.first_position, 0);
}

TEST(TokenChunksTest, AChunkOfAnActivationIsItsRows) {
  const Tensor activation(DType::kFloat32, {200, 3});
  const std::vector<TokenChunk> chunks = token_chunks(layout_of(2, 100), 100);
  ASSERT_EQ(chunks.size(), 2u);
  const View second = chunks[1].of(activation.view());
  EXPECT_EQ(second.shape(), (Shape{100, 3}));
  EXPECT_EQ(second.data<float>(), activation.data<float>() + 300);
}

class PassTest : public ::testing::Test {
 protected:
  static ModelSpec dropping_spec() {
    ModelSpec spec = small_spec({AttentionKind::kLocal, AttentionKind::kFull});
    spec.dropout = 0.25f;
    spec.attention_dropout = 0.5f;
    return spec;
  }

  TestModel model_{dropping_spec()};
};

TEST_F(PassTest, EverySiteOfEveryLayerDropsByAStreamOfItsOwn) {
  Pass pass = model_.pass(1, 10);
  std::set<uint64_t> keys;
  for (int64_t step : {5, 6}) {
    pass.step = step;
    for (int layer = kEmbeddingPart; layer <= pass.spec.head_part(); ++layer) {
      for (DropoutSite site :
           {DropoutSite::kEmbedding, DropoutSite::kAttentionWeights, DropoutSite::kAttentionOutput,
            DropoutSite::kFeedForwardHidden, DropoutSite::kFeedForwardOutput, DropoutSite::kHead}) {
        const PhiloxKey key = pass.dropout(layer, site).key;
        keys.insert(uint64_t{key.hi} << 32 | key.lo);
      }
    }
  }
  EXPECT_EQ(keys.size(), size_t{2 * 4 * 6});
}

TEST_F(PassTest, AttentionWeightsHaveARateOfTheirOwnAndEvaluationDropsNothing) {
  const Pass training = model_.pass(1, 10);
  EXPECT_EQ(training.dropout(0, DropoutSite::kAttentionWeights).rate, 0.5f);
  EXPECT_EQ(training.dropout(0, DropoutSite::kAttentionOutput).rate, 0.25f);
  const Pass evaluation = model_.pass(1, 10, /*training=*/false);
  EXPECT_EQ(evaluation.dropout(0, DropoutSite::kAttentionWeights).rate, 0);
  EXPECT_EQ(evaluation.dropout(0, DropoutSite::kAttentionOutput).rate, 0);
}

TEST_F(PassTest, FaultsOfEveryPlaceAreCountedApart) {
  const Pass pass = model_.pass(1, 10);
  const int64_t* const first = pass.faults.data<int64_t>();
  EXPECT_EQ(pass.faults_of(kEmbeddingPart).data<int64_t>(), first);
  EXPECT_EQ(pass.faults_of(0).data<int64_t>(), first + kFaultKinds);
  EXPECT_EQ(pass.faults_of(pass.spec.head_part()).data<int64_t>(), first + 3 * kFaultKinds);
  EXPECT_EQ(pass.faults_of(1).shape(), (Shape{kFaultKinds}));
}

TEST_F(PassTest, TermsOfAWholeStepCannotOverflowTheirSum) {
  const Pass pass = model_.pass(1, 10);
  const auto leaves = static_cast<double>(pass.leaves_in_step);
  const auto tokens = static_cast<double>(pass.tokens_in_step);
  EXPECT_LT(static_cast<double>(pass.leaf_sum(0).limit) * leaves, 0x1p63);
  EXPECT_LT(static_cast<double>(pass.token_sum(0).limit) * tokens, 0x1p63);
  EXPECT_GE(static_cast<double>(pass.leaf_sum(0).limit) * leaves, 0x1p61) << "range given away";
}

}  // namespace
}  // namespace reformer
