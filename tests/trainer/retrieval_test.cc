// The retrieval task: what its sequences hold, and that they depend on nothing but their index.
#include "trainer/data/retrieval.h"

#include <map>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/dataset_testing.h"

namespace reformer {
namespace {

using testing::count_valid;
using testing::Row;
using testing::row_of;

struct Shape {
  int64_t length = 0;
  int64_t symbols = 0;
  int64_t pairs = 0;
  int64_t value_length = 0;
  int64_t queries = 0;
};

config::Run retrieval(const Shape& shape) {
  config::Run run;
  config::Data& data = *run.mutable_data();
  data.set_source(config::Data::RETRIEVAL);
  data.set_length(shape.length);
  data.set_symbols(shape.symbols);
  data.set_pairs(shape.pairs);
  data.set_value_length(shape.value_length);
  data.set_queries(shape.queries);
  run.mutable_training()->set_seed(5);
  return run;
}

/// Reads a sequence as a person would, and expects every answer to be the value of its key.
void expect_answers(const Row& tokens, const Row& labels, const Shape& shape,
                    std::set<int32_t>* asked) {
  const auto symbols = static_cast<int32_t>(shape.symbols);
  const auto value_length = static_cast<size_t>(shape.value_length);
  size_t at = 0;
  const auto next_value = [&] {
    const Row value(tokens.begin() + static_cast<ptrdiff_t>(at),
                    tokens.begin() + static_cast<ptrdiff_t>(at + value_length));
    at += value_length;
    for (const int32_t token : value) EXPECT_TRUE(symbols < token && token <= 2 * symbols);
    return value;
  };
  std::map<int32_t, Row> values;
  for (int64_t pair = 0; pair < shape.pairs; ++pair) {
    const int32_t key = tokens[at++];
    EXPECT_TRUE(1 <= key && key <= symbols);
    EXPECT_TRUE(values.emplace(key, next_value()).second) << "key " << key << " comes twice";
  }
  for (; at < tokens.size() && tokens[at] != 0; ++at) {
    EXPECT_TRUE(2 * symbols < tokens[at] && tokens[at] <= 3 * symbols) << "filler";
  }
  Row expected(tokens.size(), kIgnoredLabel);
  std::set<int32_t> keys;
  while (at < tokens.size()) {
    EXPECT_EQ(tokens[at++], 0);
    const int32_t key = tokens[at++];
    EXPECT_TRUE(keys.insert(key).second) << "asked twice";
    std::copy_n(tokens.begin() + static_cast<ptrdiff_t>(at), value_length,
                expected.begin() + static_cast<ptrdiff_t>(at) - 1);
    EXPECT_EQ(next_value(), values.at(key));
  }
  EXPECT_EQ(keys.size(), static_cast<size_t>(shape.queries));
  EXPECT_EQ(labels, expected) << "only the answers count";
  asked->insert(keys.begin(), keys.end());
}

TEST(RetrievalDatasetTest, EveryAnswerIsTheValueOfItsKey) {
  for (const Shape& shape : {Shape{30, 9, 3, 1, 1}, Shape{30, 9, 3, 2, 2}, Shape{64, 5, 5, 4, 5},
                             Shape{9, 2, 2, 1, 1}, Shape{5, 1, 1, 1, 1}}) {
    const TokenBatch batch = make_dataset(retrieval(shape))->training_batch(2, 0, 60);
    std::set<int32_t> asked;
    for (int64_t row = 0; row < 60; ++row) {
      expect_answers(row_of(batch.tokens, row), row_of(batch.labels, row), shape, &asked);
    }
    EXPECT_EQ(batch.valid_labels, 60 * shape.queries * shape.value_length);
    EXPECT_EQ(batch.valid_labels, count_valid(batch));
    EXPECT_EQ(asked.size(), static_cast<size_t>(shape.symbols)) << "every key is asked sometimes";
  }
}

TEST(RetrievalDatasetTest, EveryPairIsAskedAlikeOften) {
  const TokenBatch batch =
      make_dataset(
          retrieval({.length = 20, .symbols = 4, .pairs = 4, .value_length = 1, .queries = 1}))
          ->training_batch(1, 0, 4000);
  std::vector<int> counts(4, 0);
  for (int64_t row = 0; row < 4000; ++row) {
    const Row tokens = row_of(batch.tokens, row);
    for (size_t pair = 0; pair < 4; ++pair) counts[pair] += tokens[2 * pair] == tokens[18];
  }
  for (const int count : counts) EXPECT_NEAR(count, 1000, 140);  // five standard deviations
}

// From another implementation of Philox and of the drawing.
TEST(RetrievalDatasetTest, TheOrderIsFixed) {
  const std::unique_ptr<Dataset> dataset = make_dataset(
      retrieval({.length = 20, .symbols = 9, .pairs = 3, .value_length = 2, .queries = 2}));
  EXPECT_EQ(row_of(dataset->training_batch(3, 2, 1).tokens, 0),
            (Row{9, 18, 11, 5, 13, 11, 2, 16, 15, 26, 25, 26, 0, 2, 16, 15, 0, 9, 18, 11}));
  EXPECT_EQ(row_of(dataset->validation_batch(2, 1).tokens, 0),
            (Row{4, 15, 17, 3, 18, 16, 1, 13, 10, 22, 23, 21, 0, 4, 15, 17, 0, 3, 18, 16}));
}

TEST(RetrievalDatasetTest, AVocabularyWithoutAllSymbolsIsRefused) {
  config::Run run =
      retrieval({.length = 20, .symbols = 9, .pairs = 3, .value_length = 2, .queries = 2});
  run.mutable_model()->set_vocabulary(28);
  EXPECT_NO_THROW(make_dataset(run));
  run.mutable_model()->set_vocabulary(27);
  EXPECT_THROW(make_dataset(run), ConfigError);
}

TEST(RetrievalDatasetTest, SaysWhatItIs) {
  EXPECT_EQ(
      make_dataset(
          retrieval({.length = 20, .symbols = 9, .pairs = 3, .value_length = 2, .queries = 1}))
          ->description(),
      "retrieval task: 1 of 3 pairs asked at the end of 20 tokens, values of 2 out of 9 "
      "symbols, 16 held-out sequences");
}

}  // namespace
}  // namespace reformer
