// The increment task: what its sequences hold, and that they depend on nothing but their index.
#include "trainer/data/increment.h"

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/dataset_testing.h"

namespace reformer {
namespace {

using testing::Row;
using testing::row_of;

config::Run increment(int64_t length, int64_t symbols, int64_t max_stride, uint64_t seed = 5) {
  config::Run run;
  run.mutable_data()->set_source(config::Data::INCREMENT);
  run.mutable_data()->set_length(length);
  run.mutable_data()->set_symbols(symbols);
  run.mutable_data()->set_max_stride(max_stride);
  run.mutable_training()->set_seed(seed);
  return run;
}

TEST(IncrementDatasetTest, ASequenceGoesUpByOneStrideAroundTheSymbols) {
  const TokenBatch batch = make_dataset(increment(40, 9, 4))->training_batch(1, 0, 60);
  std::set<int32_t> starts;
  std::set<int32_t> strides;
  for (int64_t row = 0; row < 60; ++row) {
    const Row tokens = row_of(batch.tokens, row);
    EXPECT_EQ(tokens[0], 0);
    const int32_t stride = (tokens[2] - tokens[1] + 9) % 9;
    for (size_t i = 1; i < tokens.size(); ++i) {
      EXPECT_TRUE(1 <= tokens[i] && tokens[i] <= 9) << tokens[i];
      if (i > 1) {
        EXPECT_EQ((tokens[i] - tokens[i - 1] + 9) % 9, stride);
      }
    }
    starts.insert(tokens[1]);
    strides.insert(stride);
  }
  EXPECT_EQ(starts.size(), 9u) << "every symbol begins a sequence";
  EXPECT_EQ(strides, (std::set<int32_t>{1, 2, 3, 4}));
}

TEST(IncrementDatasetTest, AllButTheFirstTwoSymbolsCount) {
  const TokenBatch batch = make_dataset(increment(6, 9, 4))->training_batch(1, 0, 3);
  for (int64_t row = 0; row < 3; ++row) {
    const Row tokens = row_of(batch.tokens, row);
    EXPECT_EQ(row_of(batch.labels, row),
              (Row{kIgnoredLabel, kIgnoredLabel, tokens[3], tokens[4], tokens[5], kIgnoredLabel}));
  }
  EXPECT_EQ(batch.valid_labels, 9);
  EXPECT_EQ(make_dataset(increment(4, 2, 1))->training_batch(1, 0, 3).valid_labels, 3);
}

// From another implementation of Philox.
TEST(IncrementDatasetTest, TheOrderIsFixed) {
  const std::unique_ptr<Dataset> dataset = make_dataset(increment(12, 9, 4));
  EXPECT_EQ(row_of(dataset->training_batch(3, 2, 1).tokens, 0),
            (Row{0, 3, 6, 9, 3, 6, 9, 3, 6, 9, 3, 6}));
  EXPECT_EQ(row_of(dataset->training_batch(3, 1, 1).tokens, 0),
            (Row{0, 4, 6, 8, 1, 3, 5, 7, 9, 2, 4, 6}));
  EXPECT_EQ(row_of(dataset->validation_batch(2, 1).tokens, 0),
            (Row{0, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4}));
}

TEST(IncrementDatasetTest, AVocabularyWithoutAllSymbolsIsRefused) {
  config::Run run = increment(12, 127, 3);
  run.mutable_model()->set_vocabulary(128);
  EXPECT_NO_THROW(make_dataset(run));
  run.mutable_model()->set_vocabulary(127);
  EXPECT_THROW(make_dataset(run), ConfigError);
}

TEST(IncrementDatasetTest, SaysWhatItIs) {
  EXPECT_EQ(make_dataset(increment(12, 9, 4))->description(),
            "increment task: 12 tokens that go up by 1 to 4, around 9 symbols, 16 held-out "
            "sequences");
}

}  // namespace
}  // namespace reformer
