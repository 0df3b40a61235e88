// The duplication task: what its sequences hold, and that they depend on nothing but their index.
#include "trainer/data/duplication.h"

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/dataset_testing.h"

namespace reformer {
namespace {

using testing::count_valid;
using testing::expect_distinct_streams;
using testing::expect_rows;
using testing::expect_same_in_any_grouping;
using testing::Row;
using testing::row_of;

config::Run duplication(int64_t length, int64_t symbols, uint64_t seed = 1) {
  config::Run run;
  run.mutable_data()->set_source(config::Data::DUPLICATION);
  run.mutable_data()->set_length(length);
  run.mutable_data()->set_symbols(symbols);
  run.mutable_training()->set_seed(seed);
  return run;
}

TEST(DuplicationDatasetTest, TheSecondHalfIsTheFirstAndAloneCounts) {
  for (int64_t length : {4, 10, 64}) {
    const TokenBatch batch = make_dataset(duplication(length, 9))->training_batch(2, 0, 30);
    const int64_t half = length / 2;
    for (int64_t row = 0; row < 30; ++row) {
      const Row tokens = row_of(batch.tokens, row);
      const Row labels = row_of(batch.labels, row);
      EXPECT_EQ(tokens[0], 0);
      EXPECT_TRUE(std::equal(tokens.begin(), tokens.begin() + half, tokens.begin() + half));
      EXPECT_EQ(Row(labels.begin(), labels.begin() + half),
                Row(static_cast<size_t>(half), kIgnoredLabel));
      EXPECT_TRUE(std::equal(tokens.begin() + half + 1, tokens.end(), labels.begin() + half));
      EXPECT_EQ(labels.back(), kIgnoredLabel);
    }
    EXPECT_EQ(batch.valid_labels, 30 * (half - 1));
    EXPECT_EQ(batch.valid_labels, count_valid(batch));
  }
}

TEST(DuplicationDatasetTest, WordsUseEverySymbolAndNeverTheSeparator) {
  const TokenBatch batch = make_dataset(duplication(64, 9))->training_batch(1, 0, 30);
  std::set<int32_t> symbols;
  for (int64_t row = 0; row < 30; ++row) {
    const Row tokens = row_of(batch.tokens, row);
    symbols.insert(tokens.begin() + 1, tokens.begin() + 32);
  }
  EXPECT_EQ(symbols, (std::set<int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(DuplicationDatasetTest, ASequenceDependsOnItsIndexAlone) {
  expect_same_in_any_grouping(*make_dataset(duplication(40, 100)));
  expect_distinct_streams([](uint64_t seed) { return make_dataset(duplication(40, 100, seed)); });
}

// From another implementation of Philox.
TEST(DuplicationDatasetTest, TheOrderIsFixed) {
  const std::unique_ptr<Dataset> dataset = make_dataset(duplication(12, 127, 5));
  EXPECT_EQ(row_of(dataset->training_batch(3, 2, 1).tokens, 0),
            (Row{0, 73, 15, 24, 116, 121, 0, 73, 15, 24, 116, 121}));
  EXPECT_EQ(row_of(dataset->validation_batch(2, 1).tokens, 0),
            (Row{0, 9, 55, 52, 58, 73, 0, 9, 55, 52, 58, 73}));
}

TEST(DuplicationDatasetTest, AVocabularyWithoutAllSymbolsIsRefused) {
  config::Run run = duplication(12, 127);
  run.mutable_model()->set_vocabulary(128);
  EXPECT_NO_THROW(make_dataset(run));
  run.mutable_model()->set_vocabulary(127);
  try {
    make_dataset(run);
    ADD_FAILURE() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "model.vocabulary 127 is too small for data.source DUPLICATION, legal: at least "
                 "128");
  }
}

TEST(DuplicationDatasetTest, HeldOutSequencesAreNoneThatTrainingSees) {
  config::Run run = duplication(40, 100);
  run.mutable_evaluation()->set_sequences(6);
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  ASSERT_EQ(dataset->validation_sequences(), 6);
  std::set<Row> rows;
  const TokenBatch held_out = dataset->validation_batch(0, 6);
  for (int64_t row = 0; row < 6; ++row) rows.insert(row_of(held_out.tokens, row));
  expect_rows(dataset->validation_batch(4, 2), held_out, 4);
  for (int64_t step = 0; step < 4; ++step) {
    const TokenBatch batch = dataset->training_batch(step, 0, 6);
    for (int64_t row = 0; row < 6; ++row) rows.insert(row_of(batch.tokens, row));
  }
  EXPECT_EQ(rows.size(), size_t{5 * 6});
  run.mutable_evaluation()->set_sequences(0);
  EXPECT_EQ(make_dataset(run)->validation_sequences(), 64);
}

}  // namespace
}  // namespace reformer
