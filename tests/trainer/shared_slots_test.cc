// LSH layers whose slots are shared among ranks, and their heads as well, in a model: the bits of
// one rank.
#include <gtest/gtest.h>

#include "tests/trainer/sequence_testing.h"

namespace reformer {
namespace {

using testing::same_bits;
using testing::SequenceOutcome;
using testing::SequenceProblem;

// No multiple of tile (4), leaf (8) or chunk (16).
constexpr int64_t kLength = 333;

/// Every way in which slots are seen; three heads.
ModelSpec lsh_spec() {
  using enum AttentionKind;
  ModelSpec spec = testing::small_spec({kStrict, kChunked, kChunked, kStrict});
  spec.max_length = 400;
  spec.position_axes = {{.extent = 20, .width = 8}, {.extent = 20, .width = 16}};
  spec.tile_tokens = 4;
  spec.leaf_tokens = 8;
  spec.dropout = 0.1f;
  spec.attention_dropout = 0.1f;
  for (LayerSpec& layer : spec.layers) layer.attention.heads = 3;
  spec.layers[1].attention.same_bucket_only = true;
  spec.layers[1].attention.rounds = 3;
  spec.layers[2].attention.causal = false;
  spec.layers[2].attention.rounds = 1;
  spec.layers[3].attention.correct_duplicates = true;
  spec.layers[3].attention.rounds = 4;
  return spec;
}

struct Ranks {
  int all;
  int sharing_heads;
};

void expect_bits_of_one_rank(const SequenceProblem& problem, const std::vector<Ranks>& layouts) {
  const SequenceOutcome step = problem.step(1, 1);
  const SequenceOutcome evaluation = problem.evaluate(1, 1);
  ASSERT_GT(step.sums[0], 0);
  for (const Ranks& ranks : layouts) {
    SCOPED_TRACE(::testing::Message() << ranks.all << " ranks, " << ranks.sharing_heads);
    const SequenceOutcome shared = problem.step(ranks.all, ranks.sharing_heads);
    EXPECT_EQ(shared.sums, step.sums);
    EXPECT_TRUE(same_bits(shared.gradients.view(), step.gradients.view()));
    EXPECT_EQ(problem.evaluate(ranks.all, ranks.sharing_heads).sums, evaluation.sums);
  }
}

TEST(SharedSlotsTest, SharingSlotsGivesTheBitsOfOneRank) {
  expect_bits_of_one_rank(SequenceProblem(lsh_spec(), kLength), {{2, 1}, {3, 1}, {4, 1}, {8, 1}});
}

TEST(SharedSlotsTest, SharingSlotsAndHeadsGivesTheBitsOfOneRank) {
  SequenceProblem problem(lsh_spec(), kLength);
  problem.mask_some_tokens();
  expect_bits_of_one_rank(problem, {{4, 2}, {8, 2}, {8, 4}, {6, 3}});  // of 4, one has no head
}

TEST(SharedSlotsTest, StoredActivationsGiveTheSameBits) {
  const SequenceOutcome expected = SequenceProblem(lsh_spec(), kLength).step(1, 1);
  ModelSpec spec = lsh_spec();
  spec.store_activations = true;
  for (const Ranks& ranks : {Ranks{3, 1}, Ranks{4, 2}}) {
    const SequenceOutcome stored =
        SequenceProblem(spec, kLength).step(ranks.all, ranks.sharing_heads);
    EXPECT_EQ(stored.sums, expected.sums);
    EXPECT_TRUE(same_bits(stored.gradients.view(), expected.gradients.view()));
  }
}

TEST(SharedSlotsTest, LayersThatDoNotHashAreSharedByAllRanks) {
  using enum AttentionKind;
  ModelSpec spec = lsh_spec();
  spec.layers[1] = testing::small_layer(kLocal);
  spec.layers[2] = testing::small_layer(kFull);
  expect_bits_of_one_rank(SequenceProblem(spec, kLength), {{4, 1}, {4, 2}});
}

TEST(SharedSlotsTest, OneHeadIsSharedByManyRanks) {
  ModelSpec spec = lsh_spec();
  for (LayerSpec& layer : spec.layers) layer.attention.heads = 1;
  expect_bits_of_one_rank(SequenceProblem(spec, kLength), {{8, 1}});
}

}  // namespace
}  // namespace reformer
