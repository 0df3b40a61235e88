// What all made-up tasks have in common, by the example of one that is simple to check.
#include "trainer/data/task.h"

#include <numeric>

#include <gtest/gtest.h>

#include "tests/trainer/dataset_testing.h"

namespace reformer {
namespace {

using testing::count_valid;
using testing::expect_rows;
using testing::Row;
using testing::row_of;

constexpr int64_t kBound = 1000;

/// Tokens are random numbers; every third can be predicted, the first included.
class Thirds final : public TaskDataset {
 public:
  explicit Thirds(const config::Run& run) : TaskDataset(run) {}
  std::string description() const override { return "thirds"; }

 private:
  void make_sequence(const TaskRandom& random, std::span<int32_t> tokens,
                     std::span<uint8_t> predictable) const override {
    ASSERT_EQ(static_cast<int64_t>(tokens.size()), length());
    for (size_t i = 0; i < tokens.size(); ++i) {
      EXPECT_EQ(predictable[i], 0);
      tokens[i] = static_cast<int32_t>(random.below(kBound, static_cast<int64_t>(i)));
      predictable[i] = i % 3 == 0;
    }
  }
};

config::Run run_of(int64_t length, int64_t sequences = 6) {
  config::Run run;
  run.mutable_data()->set_length(length);
  run.mutable_training()->set_seed(5);
  run.mutable_evaluation()->set_sequences(sequences);
  return run;
}

TEST(TaskDatasetTest, WhatIsPredictableIsTheLabelOfTheTokenBefore) {
  for (const int64_t length : {2, 3, 4, 10}) {
    const Thirds dataset(run_of(length));
    const TokenBatch batch = dataset.training_batch(1, 0, 4);
    for (int64_t row = 0; row < 4; ++row) {
      const Row tokens = row_of(batch.tokens, row);
      Row expected(tokens.size(), kIgnoredLabel);
      for (size_t i = 3; i < tokens.size(); i += 3) expected[i - 1] = tokens[i];
      EXPECT_EQ(row_of(batch.labels, row), expected);
    }
    EXPECT_EQ(batch.valid_labels, count_valid(batch));
  }
}

TEST(TaskDatasetTest, ASequenceDependsOnItsIndexAlone) {
  testing::expect_same_in_any_grouping(Thirds(run_of(20)));
  testing::expect_distinct_streams([](uint64_t seed) -> std::unique_ptr<Dataset> {
    config::Run run = run_of(20);
    run.mutable_training()->set_seed(seed);
    return std::make_unique<Thirds>(run);
  });
}

TEST(TaskDatasetTest, HeldOutSequencesAreNoneThatTrainingSees) {
  const Thirds dataset(run_of(20));
  ASSERT_EQ(dataset.validation_sequences(), 6);
  const TokenBatch held_out = dataset.validation_batch(0, 6);
  expect_rows(dataset.validation_batch(4, 2), held_out, 4);
  std::set<Row> rows;
  for (int64_t row = 0; row < 6; ++row) rows.insert(row_of(held_out.tokens, row));
  for (int64_t step = 0; step < 4; ++step) {
    const TokenBatch batch = dataset.training_batch(step, 0, 6);
    for (int64_t row = 0; row < 6; ++row) rows.insert(row_of(batch.tokens, row));
  }
  EXPECT_EQ(rows.size(), size_t{5 * 6});
  EXPECT_EQ(Thirds(run_of(20, 0)).validation_sequences(), 64) << "0 asks for all";
}

TEST(TaskRandomTest, NumbersAreUniformBelowTheBound) {
  const TaskRandom random(make_key(1, RandomUse::kTask, 2, 3), 4);
  std::vector<int> counts(7, 0);
  for (int64_t i = 0; i < 7000; ++i) ++counts.at(static_cast<size_t>(random.below(7, i)));
  for (const int count : counts) EXPECT_NEAR(count, 1000, 150);  // five standard deviations
  EXPECT_EQ(random.below(7, 55), random.below(7, 55));
  EXPECT_EQ(random.below(1, 9), 0);
}

}  // namespace
}  // namespace reformer
