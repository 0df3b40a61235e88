// The longest sequences and the fewest ranks that memory allows: what is found fits, what is next
// does not.
#include "trainer/fit.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/cpu/cpu_backend.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/config_testing.h"
#include "trainer/run_plan.h"

namespace reformer {
namespace {

using testing::expect_contains;

constexpr const char* kConfig = R"(
data { source: INCREMENT length: 1024 symbols: 20 }
model { vocabulary: 32 width: 64 ff_width: 64 heads: 2 layers: 2 lsh { chunk_length: 16 } }
training { batch: 8 steps: 10 schedule { warmup: 2 } }
evaluation { sequences: 8 }
execution { leaf_tokens: 128 }
)";

constexpr int64_t kLeaf = 128;

class FitTest : public ::testing::Test {
 protected:
  ConfigOfLength config_of(std::vector<std::string> overrides = {}) const {
    return [overrides](int64_t length) {
      std::vector<std::string> all = overrides;
      all.push_back(fmt::format("data.length={}", length));
      return testing::parse(kConfig, all);
    };
  }
  size_t bytes(int64_t length, int ranks) const {
    return plan_bytes(config_of()(length), ranks, *on_);
  }

  const std::unique_ptr<Backend> on_ = make_cpu_backend(1);
};

TEST_F(FitTest, TheLongestFitsAndALeafMoreDoesNot) {
  const RunConfig config = testing::parse(kConfig);
  for (const int ranks : {1, 3}) {
    for (const int64_t length : {4 * kLeaf, 8 * kLeaf, 37 * kLeaf, 500 * kLeaf}) {
      const size_t memory = bytes(length, ranks);
      const Fit fit = fit_length(config_of(), config, ranks, memory, *on_);
      EXPECT_EQ(fit.value, length) << ranks << " ranks";
      EXPECT_EQ(fit.bytes, memory);
      expect_contains(fit.limit, fmt::format("with {}: a rank takes ", length + kLeaf));
    }
  }
}

TEST_F(FitTest, SaysWhatElseLimitsTheLength) {
  const std::vector<std::string> table = {"model.positions.shape=[16,100]"};
  const RunConfig config = testing::parse(kConfig, table);
  const Fit fit = fit_length(config_of(table), config, 1, size_t{1} << 40, *on_);
  EXPECT_EQ(fit.value, 12 * kLeaf);
  expect_contains(fit.limit, "model.positions.shape has 1600 positions");
}

TEST_F(FitTest, WhatIsTooShortIsNotTakenForTooLong) {
  // Eight ranks need eight leaves.
  const std::vector<std::string> shared = {"parallel.sequence=8"};
  const RunConfig config = testing::parse(kConfig, {"data.length=4096", "parallel.sequence=8"});
  const Fit none = fit_length(config_of(shared), config, 8, 1000, *on_);
  EXPECT_EQ(none.value, 0);
  expect_contains(none.limit, "a rank takes ");
}

TEST_F(FitTest, TheFewestRanksFitAndOneLessDoesNot) {
  const RunConfig config = testing::parse(kConfig);
  const size_t alone = bytes(1024, 1);
  EXPECT_EQ(fit_ranks(config, alone, *on_).value, 1);
  const Fit fit = fit_ranks(config, alone / 2, *on_);
  ASSERT_GT(fit.value, 1);
  EXPECT_LE(fit.bytes, alone / 2);
  EXPECT_GT(bytes(1024, static_cast<int>(fit.value) - 1), alone / 2);
  expect_contains(fit.limit, fmt::format("with {}: a rank takes ", fit.value - 1));
}

TEST_F(FitTest, WhereNoCountSufficesItSaysWhatManyTake) {
  const Fit fit = fit_ranks(testing::parse(kConfig), 1000, *on_, 20);
  EXPECT_EQ(fit.value, 0);
  expect_contains(fit.limit, "with 20: a rank takes ");
}

}  // namespace
}  // namespace reformer
