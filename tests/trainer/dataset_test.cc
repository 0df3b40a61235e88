// Sequences: what they hold, that they depend on nothing but their index, and files that cannot
// give any.
#include "trainer/data/dataset.h"

#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::TemporaryDirectory;
using testing::write_file;
using Row = std::vector<int32_t>;

Row row_of(const Tensor& tensor, int64_t row) {
  const int64_t length = tensor.shape()[1];
  const int32_t* const begin = tensor.data<int32_t>() + row * length;
  return {begin, begin + length};
}

int64_t count_valid(const TokenBatch& batch) {
  const int32_t* const labels = batch.labels.data<int32_t>();
  return batch.labels.elements() -
         std::count(labels, labels + batch.labels.elements(), kIgnoredLabel);
}

/// Rows [first, first + rows.size()) of `expected` are the rows of `part`.
void expect_rows(const TokenBatch& part, const TokenBatch& expected, int64_t first) {
  for (int64_t row = 0; row < part.tokens.shape()[0]; ++row) {
    EXPECT_EQ(row_of(part.tokens, row), row_of(expected.tokens, first + row));
    EXPECT_EQ(row_of(part.labels, row), row_of(expected.labels, first + row));
  }
}

/// Samples 0 … 11 of a step, read in groups of several sizes.
void expect_same_in_any_grouping(const Dataset& dataset) {
  const TokenBatch all = dataset.training_batch(5, 0, 12);
  for (int64_t group : {1, 3, 4}) {
    int64_t valid = 0;
    for (int64_t first = 12 - group; first >= 0; first -= group) {
      const TokenBatch part = dataset.training_batch(5, first, group);
      expect_rows(part, all, first);
      EXPECT_EQ(part.valid_labels, count_valid(part));
      valid += part.valid_labels;
    }
    EXPECT_EQ(valid, all.valid_labels);
  }
}

/// Rows that differ among samples, steps and seeds.
template <typename MakeDataset>
void expect_distinct_streams(const MakeDataset& make) {
  std::set<Row> rows;
  for (uint64_t seed : {1, 2}) {
    const std::unique_ptr<Dataset> dataset = make(seed);
    for (int64_t step : {1, 2, 3}) {
      const TokenBatch batch = dataset->training_batch(step, 0, 5);
      for (int64_t row = 0; row < 5; ++row) rows.insert(row_of(batch.tokens, row));
    }
  }
  EXPECT_EQ(rows.size(), size_t{2 * 3 * 5});
}

/// Every byte value, in an order in which no four neighbours come twice.
std::string bytes_of_size(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 167 + i / 256 * 31) % 256);
  return bytes;
}

class ByteDatasetTest : public ::testing::Test {
 protected:
  std::string write(const std::string& bytes) {
    const std::string path = directory_.path() + "/bytes";
    write_file(path, bytes);
    return path;
  }

  static config::Run run(const std::string& path, int64_t length, uint64_t seed = 1) {
    config::Run run;
    run.mutable_data()->set_path(path);
    run.mutable_data()->set_length(length);
    run.mutable_training()->set_seed(seed);
    run.mutable_evaluation()->set_sequences(0);
    return run;
  }

  static void set_parts(config::Run& run, int64_t train_begin, int64_t train_end, int64_t begin,
                        int64_t end) {
    run.mutable_data()->mutable_train()->set_begin(train_begin);
    run.mutable_data()->mutable_train()->set_end(train_end);
    run.mutable_data()->mutable_validation()->set_begin(begin);
    run.mutable_data()->mutable_validation()->set_end(end);
  }

  static std::string error_of(const config::Run& run) {
    try {
      make_dataset(run);
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  }

  TemporaryDirectory directory_;
};

TEST_F(ByteDatasetTest, ASequenceDependsOnItsIndexAlone) {
  const std::string path = write(bytes_of_size(4000));
  expect_same_in_any_grouping(*make_dataset(run(path, 50)));
  expect_distinct_streams([&](uint64_t seed) { return make_dataset(run(path, 50, seed)); });
}

TEST_F(ByteDatasetTest, TrainingSequencesAreStretchesOfTheTrainingPartWithTheNextByteAsLabel) {
  const std::string bytes = bytes_of_size(512);
  config::Run config = run(write(bytes), 6);
  set_parts(config, 100, 110, 300, 0);
  const std::unique_ptr<Dataset> dataset = make_dataset(config);
  const TokenBatch batch = dataset->training_batch(1, 0, 200);
  std::set<size_t> starts;
  for (int64_t row = 0; row < 200; ++row) {
    const Row tokens = row_of(batch.tokens, row);
    const Row labels = row_of(batch.labels, row);
    std::string text;
    for (int32_t token : tokens) text += static_cast<char>(token);
    text += static_cast<char>(labels.back());
    starts.insert(bytes.find(text));
    EXPECT_TRUE(std::equal(tokens.begin() + 1, tokens.end(), labels.begin()));
  }
  EXPECT_EQ(starts, (std::set<size_t>{100, 101, 102, 103})) << "all starts and no other";
}

TEST_F(ByteDatasetTest, BytesAreTokensUpTo255) {
  std::string bytes(256, '\0');
  std::iota(bytes.begin(), bytes.end(), '\0');
  config::Run config = run(write(bytes + bytes), 255);
  set_parts(config, 0, 256, 256, 512);
  const std::unique_ptr<Dataset> dataset = make_dataset(config);
  Row expected(256);
  std::iota(expected.begin(), expected.end(), 0);
  for (const TokenBatch& batch :
       {dataset->training_batch(1, 0, 1), dataset->validation_batch(0, 1)}) {
    EXPECT_EQ(row_of(batch.tokens, 0), Row(expected.begin(), expected.end() - 1));
    EXPECT_EQ(row_of(batch.labels, 0), Row(expected.begin() + 1, expected.end()));
  }
}

TEST_F(ByteDatasetTest, EveryHeldOutByteButTheFirstIsPredictedOnce) {
  const std::string bytes = bytes_of_size(500);
  const std::string path = write(bytes);
  for (int64_t held_out : {8, 9, 14, 15, 16, 57}) {
    config::Run config = run(path, 7);
    set_parts(config, 0, 100, 200, 200 + held_out);
    const std::unique_ptr<Dataset> dataset = make_dataset(config);
    const int64_t windows = dataset->validation_sequences();
    const TokenBatch batch = dataset->validation_batch(0, windows);
    Row predicted;
    for (int64_t i = 0; i < batch.labels.elements(); ++i) {
      const int32_t label = batch.labels.data<int32_t>()[i];
      if (label == kIgnoredLabel) continue;
      predicted.push_back(label);
      const auto before = static_cast<uint8_t>(bytes[200 + predicted.size() - 1]);
      EXPECT_EQ(batch.tokens.data<int32_t>()[i], before) << "predicted from another byte";
    }
    Row expected;
    for (int64_t at = 201; at < 200 + held_out; ++at) {
      expected.push_back(static_cast<uint8_t>(bytes[static_cast<size_t>(at)]));
    }
    EXPECT_EQ(predicted, expected) << held_out;
    EXPECT_EQ(batch.valid_labels, held_out - 1);
    expect_rows(dataset->validation_batch(windows - 1, 1), batch, windows - 1);
    EXPECT_EQ(windows, (held_out - 1 + 6) / 7) << "no window without a byte to predict";
  }
}

TEST_F(ByteDatasetTest, FewerSequencesAreSpreadEvenlyOverTheHeldOutPart) {
  config::Run config = run(write(bytes_of_size(1200)), 10);
  set_parts(config, 0, 100, 100, 1101);  // 100 windows
  const std::unique_ptr<Dataset> all = make_dataset(config);
  ASSERT_EQ(all->validation_sequences(), 100);
  config.mutable_evaluation()->set_sequences(4);
  const std::unique_ptr<Dataset> some = make_dataset(config);
  ASSERT_EQ(some->validation_sequences(), 4);
  for (int64_t i = 0; i < 4; ++i) {
    expect_rows(some->validation_batch(i, 1), all->validation_batch(i * 25, 1), 0);
  }
  config.mutable_evaluation()->set_sequences(101);
  EXPECT_EQ(make_dataset(config)->validation_sequences(), 100);
}

TEST_F(ByteDatasetTest, TheHeldOutShareIsTheEndOfTheFile) {
  config::Run config = run(write(std::string(80, 'a') + std::string(20, 'b')), 5);
  config.mutable_data()->set_validation_share(0.2);
  const std::unique_ptr<Dataset> dataset = make_dataset(config);
  const TokenBatch training = dataset->training_batch(1, 0, 500);
  for (int64_t row = 0; row < 500; ++row) EXPECT_EQ(row_of(training.labels, row), Row(5, 'a'));
  const TokenBatch held_out = dataset->validation_batch(0, dataset->validation_sequences());
  EXPECT_EQ(row_of(held_out.tokens, 0), Row(5, 'b'));
  EXPECT_EQ(held_out.valid_labels, 19);
}

TEST_F(ByteDatasetTest, WhatCannotBeReadIsRefusedByName) {
  const std::string missing = directory_.path() + "/missing";
  EXPECT_EQ(error_of(run(missing, 10)), missing + ": No such file or directory");
  EXPECT_EQ(error_of(run(directory_.path(), 10)),
            directory_.path() + ": is a directory, not a file");
  EXPECT_EQ(error_of(run("/dev/null", 10)), "/dev/null: is not a regular file");
  const std::string path = write("");
  EXPECT_EQ(error_of(run(path, 10)), path + ": is empty");
}

TEST_F(ByteDatasetTest, APartTooShortForOneSequenceIsRefused) {
  const std::string path = write(bytes_of_size(100));
  EXPECT_EQ(error_of(run(path, 9)), "accepted");
  EXPECT_EQ(error_of(run(path, 10)),
            path +
                ": too short: the held-out part has 10 of the file's 100 bytes, and one "
                "sequence of data.length = 10 takes 11");
  config::Run config = run(path, 10);
  set_parts(config, 0, 10, 50, 0);
  testing::expect_contains(error_of(config), "too short: the training part has 10 of");
  set_parts(config, 0, 11, 50, 61);
  EXPECT_EQ(error_of(config), "accepted");
  set_parts(config, 0, 40, 50, 101);
  EXPECT_EQ(error_of(config), path +
                                  ": data.validation = [50, 101) does not lie in the 100 bytes "
                                  "of the file");
  set_parts(config, 100, 0, 50, 90);
  testing::expect_contains(error_of(config), "data.train = [100, 100)");
}

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
