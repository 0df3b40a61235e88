// Which layouts of ranks a run can have, what is derived, and what is said of those it cannot.
#include "trainer/derive_mesh.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/trainer/config_testing.h"

namespace reformer {
namespace {

/// 16 leaves and 32 chunks; 4 heads, and no FULL layer.
constexpr const char* kConfig = R"(
data { source: DUPLICATION length: 4096 symbols: 20 }
model {
  vocabulary: 32 width: 16 ff_width: 40 heads: 4 layers: 2
  attention_pattern: [LSH, LOCAL] lsh { chunk_length: 128 } local { chunk_length: 32 }
}
training { batch: 2 steps: 200 }
execution { leaf_tokens: 256 }
)";

class DeriveMeshTest : public ::testing::Test {
 protected:
  Mesh derive(int ranks, const std::vector<std::string>& overrides = {}, int rank = 0) {
    return derive_mesh(testing::parse(kConfig, overrides), *backend_, rank, ranks);
  }
  /// "2 x 4 = 4 x 1": data, sequence, heads, buckets.
  std::string layout(int ranks, const std::vector<std::string>& overrides = {}) {
    const Mesh mesh = derive(ranks, overrides);
    return fmt::format("{} x {} = {} x {}", mesh.data_size, mesh.sequence_size, mesh.head_size,
                       mesh.bucket_size());
  }
  std::string error_of(int ranks, const std::vector<std::string>& overrides) {
    try {
      return layout(ranks, overrides) + " was accepted";
    } catch (const ConfigError& error) {
      return error.what();
    }
  }

  std::unique_ptr<Backend> backend_ = make_cpu_backend(1);
};

TEST_F(DeriveMeshTest, RanksShareSequencesWhereTheBatchHasNotEnough) {
  EXPECT_EQ(layout(1), "1 x 1 = 1 x 1");
  EXPECT_EQ(layout(2), "2 x 1 = 1 x 1");
  EXPECT_EQ(layout(3), "1 x 3 = 3 x 1");
  EXPECT_EQ(layout(4), "2 x 2 = 2 x 1");
  EXPECT_EQ(layout(8), "2 x 4 = 4 x 1");
  EXPECT_EQ(layout(8, {"training.batch=8"}), "8 x 1 = 1 x 1");
  EXPECT_EQ(layout(6, {"training.batch=4"}), "3 x 2 = 2 x 1");
}

TEST_F(DeriveMeshTest, AsManyAsCanShareHeads) {
  EXPECT_EQ(layout(16), "2 x 8 = 4 x 2");
  EXPECT_EQ(layout(5), "1 x 5 = 1 x 5");
  EXPECT_EQ(layout(6, {"training.batch=1"}), "1 x 6 = 3 x 2");
  EXPECT_EQ(layout(16, {"training.batch=1"}), "1 x 16 = 4 x 4");
}

TEST_F(DeriveMeshTest, WhereSoManyCannotSomeGroupsAreIdle) {
  // 32 ranks for each of two sequences of 16 leaves.
  EXPECT_EQ(layout(64), "4 x 16 = 4 x 4");
  // Four ranks for each, and two heads in layers that are too short to hash.
  EXPECT_EQ(layout(8, {"model.lsh.full_up_to=4096", "model.heads=2"}), "4 x 2 = 2 x 1");
  EXPECT_EQ(layout(31), "31 x 1 = 1 x 1");
}

TEST_F(DeriveMeshTest, WhatIsAskedForIsGiven) {
  EXPECT_EQ(layout(8, {"parallel.data=1"}), "1 x 8 = 4 x 2");
  EXPECT_EQ(layout(8, {"parallel.data=8"}), "8 x 1 = 1 x 1");
  EXPECT_EQ(layout(8, {"parallel.sequence=8"}), "1 x 8 = 4 x 2");
  EXPECT_EQ(layout(8, {"parallel.sequence=1"}), "8 x 1 = 1 x 1");
  EXPECT_EQ(layout(8, {"parallel.data=4", "parallel.sequence=2"}), "4 x 2 = 2 x 1");
  EXPECT_EQ(layout(8, {"parallel.heads=1"}), "2 x 4 = 1 x 4");
  EXPECT_EQ(layout(8, {"parallel.sequence=8", "parallel.heads=2"}), "1 x 8 = 2 x 4");
}

TEST_F(DeriveMeshTest, EveryRankHasItsPlace) {
  for (int rank = 0; rank < 8; ++rank) {
    EXPECT_EQ(derive(8, {}, rank), make_mesh(rank, 8, 4, 4));
    EXPECT_EQ(derive(8, {}, rank).rank(), rank);
  }
}

TEST_F(DeriveMeshTest, WhatCannotBeIsRefusedWithWhatCan) {
  EXPECT_EQ(
      error_of(6, {"parallel.sequence=4"}),
      "[parallel] 6 ranks cannot share sequences by 4 (parallel.sequence), legal: 1, 2, 3, 6");
  EXPECT_EQ(error_of(32, {"parallel.data=1"}),
            "[parallel] 32 ranks cannot work in 1 group (parallel.data): at most 16 can share "
            "a sequence, one for each leaf of execution.leaf_tokens, legal: 2, 4, 8, 16, 32");
  EXPECT_EQ(error_of(6, {"parallel.data=4"}),
            "[parallel] 6 ranks cannot work in 4 groups (parallel.data), legal: 1, 2, 3, 6");
  EXPECT_EQ(error_of(6, {"parallel.data=4", "parallel.sequence=2"}),
            "[parallel] 6 ranks are not 4 groups (parallel.data) of 2 (parallel.sequence), legal: "
            "3 groups");
  EXPECT_EQ(error_of(3, {"parallel.heads=2"}),
            "[parallel] 3 ranks of a sequence cannot share heads by 2 (parallel.heads), legal: 1, "
            "3");
  EXPECT_EQ(error_of(1, {"parallel.heads=2"}),
            "[parallel] 1 rank of a sequence cannot share heads by 2 (parallel.heads), legal: 1");
}

TEST_F(DeriveMeshTest, FullLayersAreSharedByHeads) {
  EXPECT_EQ(layout(4, {"model.lsh.full_up_to=4096", "parallel.data=1"}), "1 x 4 = 4 x 1");
  EXPECT_EQ(error_of(8, {"model.lsh.full_up_to=4096", "parallel.data=1"}),
            "[parallel] 8 ranks cannot work in 1 group (parallel.data): at most 4 can share a "
            "sequence, one for each of model.heads (a layer is FULL), legal: 2, 4, 8");
}

TEST_F(DeriveMeshTest, EveryRankThatSharesBucketsHasAUnitOfSlots) {
  // Four chunks, whole or not.
  const std::string chunk = "model.lsh.chunk_length=1366";
  EXPECT_EQ(layout(9, {"parallel.data=1", chunk}), "1 x 9 = 3 x 3");
  EXPECT_EQ(error_of(7, {"parallel.data=1", chunk}),
            "[parallel] 7 ranks cannot work in 1 group (parallel.data), legal: 7");
  EXPECT_EQ(error_of(4, {"parallel.data=1", "parallel.heads=1", chunk}),
            "[parallel] 4 ranks of a sequence cannot share heads by 1 (parallel.heads), legal: 2, "
            "4");
}

TEST_F(DeriveMeshTest, IsSaidInALine) {
  EXPECT_EQ(describe(derive(1), 4096, 256), "1 rank: 1 × data");
  EXPECT_EQ(describe(derive(2), 4096, 256), "2 ranks: 2 × data");
  EXPECT_EQ(describe(derive(4), 4096, 256),
            "4 ranks: 2 × data, 2 × sequence (2 × heads, 1 × buckets), 2048 tokens each");
  EXPECT_EQ(describe(derive(3), 4096, 256),
            "3 ranks: 1 × data, 3 × sequence (3 × heads, 1 × buckets), 1280 to 1536 tokens each");
}

TEST_F(DeriveMeshTest, TellsWhatLayersExchange) {
  const RunConfig config = testing::parse(kConfig);
  const LayerSpec& lsh = config.model.layers[0];
  const LayerSpec& local = config.model.layers[1];
  LayerSpec full = lsh;
  full.attention.kind = AttentionKind::kFull;
  EXPECT_EQ(describe_exchange(derive(2), lsh), "");
  EXPECT_EQ(describe_exchange(derive(8), lsh), "4 ranks share its heads");
  EXPECT_EQ(describe_exchange(derive(5), lsh), "5 ranks share its buckets");
  EXPECT_EQ(describe_exchange(derive(16), lsh), "4 ranks share its heads, 2 its buckets");
  EXPECT_EQ(describe_exchange(derive(16), local),
            "neighbours exchange the chunks at their borders");
  EXPECT_EQ(describe_exchange(derive(4), full), "2 ranks share its heads");
}

}  // namespace
}  // namespace reformer
