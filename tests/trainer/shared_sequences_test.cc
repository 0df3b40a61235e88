// Sequences that ranks share, here threads: the bits of one rank, for any length.
#include <gtest/gtest.h>

#include "tests/trainer/sequence_testing.h"

namespace reformer {
namespace {

using testing::same_bits;
using testing::small_spec;
using Outcome = testing::SequenceOutcome;
using Problem = testing::SequenceProblem;

constexpr AttentionKind kStrict = AttentionKind::kStrict;
constexpr AttentionKind kChunked = AttentionKind::kChunked;
constexpr AttentionKind kLocal = AttentionKind::kLocal;
constexpr AttentionKind kFull = AttentionKind::kFull;

// No multiple of tile (16), leaf (32) or chunk; five leaves.
constexpr int64_t kLength = 150;

/// Five heads, which neither 2, 3 nor 4 ranks share evenly.
ModelSpec spec_of(const std::vector<AttentionKind>& kinds) {
  ModelSpec spec = small_spec(kinds);
  spec.tile_tokens = 16;
  spec.leaf_tokens = 32;
  for (LayerSpec& layer : spec.layers) layer.attention.heads = 5;
  return spec;
}

ModelSpec with_dropout(ModelSpec spec) {
  spec.dropout = 0.1f;
  spec.attention_dropout = 0.1f;
  return spec;
}

Problem problem_of(ModelSpec spec, int64_t length = kLength) {
  return Problem(std::move(spec), length);
}

void expect_bits_of_one_rank(const Problem& problem) {
  const Outcome step = problem.step(1, 1);
  const Outcome evaluation = problem.evaluate(1, 1);
  ASSERT_GT(step.sums[0], 0);
  for (const int ranks : {2, 3, 4}) {
    SCOPED_TRACE(ranks);
    const Outcome shared = problem.step(ranks, ranks);
    EXPECT_EQ(shared.sums, step.sums);
    EXPECT_TRUE(same_bits(shared.gradients.view(), step.gradients.view()));
    const Outcome evaluated = problem.evaluate(ranks, ranks);
    EXPECT_EQ(evaluated.sums, evaluation.sums);
    EXPECT_EQ(evaluated.health, evaluation.health);
  }
}

TEST(SharedSequencesTest, StrictHasTheBitsOfOneRank) {
  ModelSpec spec = with_dropout(spec_of({kStrict, kStrict}));
  spec.layers[1].attention.correct_duplicates = true;
  expect_bits_of_one_rank(problem_of(spec));
}

TEST(SharedSequencesTest, ChunkedHasTheBitsOfOneRank) {
  ModelSpec spec = with_dropout(spec_of({kChunked, kChunked, kChunked}));
  spec.layers[0].attention.causal = false;
  spec.layers[1].attention.correct_duplicates = true;
  spec.layers[2].attention.same_bucket_only = true;
  expect_bits_of_one_rank(problem_of(spec));
}

TEST(SharedSequencesTest, FullHasTheBitsOfOneRank) {
  ModelSpec spec = with_dropout(spec_of({kFull, kFull}));
  spec.layers[1].attention.causal = false;
  expect_bits_of_one_rank(problem_of(spec));
}

// More ranks than heads: some have none.
TEST(SharedSequencesTest, FullWithFewHeadsHasTheBitsOfOneRank) {
  ModelSpec spec = spec_of({kFull});
  spec.layers[0].attention.heads = 3;
  expect_bits_of_one_rank(problem_of(spec));
}

TEST(SharedSequencesTest, LocalHasTheBitsOfOneRank) {
  for (const bool causal : {true, false}) {
    // A chunk spans two ranks; chunks that no rank begins with; the chunk of a whole sequence.
    for (const int64_t chunk_length : {48, 7, 200}) {
      SCOPED_TRACE(chunk_length);
      ModelSpec spec = with_dropout(spec_of({kLocal, kLocal}));
      for (LayerSpec& layer : spec.layers) {
        layer.attention.causal = causal;
        layer.attention.chunk_length = chunk_length;
      }
      expect_bits_of_one_rank(problem_of(spec));
    }
  }
}

ModelSpec all_kinds() {
  return with_dropout(spec_of({kStrict, kLocal, kChunked, kFull}));
}

TEST(SharedSequencesTest, StoredActivationsGiveTheSameBits) {
  const Outcome expected = problem_of(all_kinds()).step(1, 1);
  ModelSpec spec = all_kinds();
  spec.store_activations = true;
  const Outcome stored = problem_of(spec).step(3, 3);
  EXPECT_EQ(stored.sums, expected.sums);
  EXPECT_TRUE(same_bits(stored.gradients.view(), expected.gradients.view()));
}

TEST(SharedSequencesTest, MaskedTokensGiveTheSameBits) {
  Problem problem = problem_of(all_kinds());
  problem.mask_some_tokens();
  expect_bits_of_one_rank(problem);
}

TEST(SharedSequencesTest, AnyLengthWithALeafForEachRankGivesTheSameBits) {
  for (const int64_t length : {97, 128, 300}) {
    SCOPED_TRACE(length);
    expect_bits_of_one_rank(problem_of(all_kinds(), length));
  }
}

}  // namespace
}  // namespace reformer
