// Sequences of bytes: what they hold, that they depend on nothing but their index, and files that
// cannot give any.
#include <numeric>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/dataset_testing.h"
#include "trainer/data/dataset.h"

namespace reformer {
namespace {

using testing::expect_distinct_streams;
using testing::expect_rows;
using testing::expect_same_in_any_grouping;
using testing::Row;
using testing::row_of;
using testing::TemporaryDirectory;
using testing::write_file;

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

// Which sequences a seed means must not change from version to version: a resumed run would go on
// with other data. The offsets are from another implementation of Philox.
TEST_F(ByteDatasetTest, TheOrderIsFixed) {
  const std::string bytes = bytes_of_size(60000);
  config::Run config = run(write(bytes), 100, 5);
  set_parts(config, 50, 59950, 59899, 0);
  const TokenBatch batch = make_dataset(config)->training_batch(3, 0, 4);
  const std::vector<size_t> offsets = {13280, 26388, 56609, 29949};
  for (size_t row = 0; row < offsets.size(); ++row) {
    Row expected;
    for (char byte : bytes.substr(50 + offsets[row], 100)) {
      expected.push_back(static_cast<uint8_t>(byte));
    }
    EXPECT_EQ(row_of(batch.tokens, static_cast<int64_t>(row)), expected);
  }
}

TEST_F(ByteDatasetTest, AVocabularyWithoutAllBytesIsRefused) {
  config::Run config = run(write(bytes_of_size(200)), 10);
  config.mutable_model()->set_vocabulary(256);
  EXPECT_EQ(error_of(config), "accepted");
  config.mutable_model()->set_vocabulary(255);
  EXPECT_THROW(make_dataset(config), ConfigError);
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

TEST_F(ByteDatasetTest, TheOffsetIsAddedToEveryByteButNotToWhatFillsUp) {
  const std::string path = write(std::string(40, 'a') + std::string(7, 'b'));
  config::Run config = run(path, 5);
  set_parts(config, 0, 40, 40, 47);
  config.mutable_data()->set_byte_offset(2);
  config.mutable_model()->set_vocabulary(258);
  const std::unique_ptr<Dataset> dataset = make_dataset(config);
  EXPECT_EQ(row_of(dataset->training_batch(1, 0, 1).tokens, 0), Row(5, 'a' + 2));
  EXPECT_EQ(row_of(dataset->training_batch(1, 0, 1).labels, 0), Row(5, 'a' + 2));
  EXPECT_EQ(row_of(dataset->validation_batch(1, 1).tokens, 0), (Row{'b' + 2, 'b' + 2, 0, 0, 0}));
  EXPECT_EQ(row_of(dataset->validation_batch(1, 1).labels, 0),
            (Row{'b' + 2, kIgnoredLabel, kIgnoredLabel, kIgnoredLabel, kIgnoredLabel}));
  config.mutable_model()->set_vocabulary(257);
  EXPECT_THROW(make_dataset(config), ConfigError);
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

TEST_F(ByteDatasetTest, SequencesThatOverlapPredictEveryByteOnceInItsContext) {
  std::string positions;
  for (char i = 0; i < 100; ++i) positions += i;
  for (const int64_t stride : {1, 3, 4, 10}) {
    for (const int64_t held_out : {11, 12, 23, 50}) {
      config::Run config = run(write(positions), 10);
      set_parts(config, 0, 40, 50, 50 + held_out);
      config.mutable_evaluation()->set_stride(stride);
      config.mutable_evaluation()->set_sequences(0);
      const std::unique_ptr<Dataset> dataset = make_dataset(config);
      std::vector<int> times(static_cast<size_t>(held_out), 0);
      for (int64_t i = 0; i < dataset->validation_sequences(); ++i) {
        const TokenBatch batch = dataset->validation_batch(i, 1);
        EXPECT_EQ(batch.tokens.data<int32_t>()[0], 50 + i * stride);
        for (int64_t t = 0; t < 10; ++t) {
          const int32_t label = batch.labels.data<int32_t>()[t];
          if (label == kIgnoredLabel) continue;
          EXPECT_EQ(label, 50 + i * stride + t + 1);
          EXPECT_GE(t, i > 0 ? 10 - stride : 0);
          ++times[static_cast<size_t>(label - 50)];
        }
      }
      std::vector<int> once(static_cast<size_t>(held_out), 1);
      once[0] = 0;
      EXPECT_EQ(times, once) << "stride " << stride << ", " << held_out << " bytes";
    }
  }
}

TEST_F(ByteDatasetTest, OfSomeSequencesThatOverlapTheFirstCountsNoMoreThanTheOthers) {
  config::Run config = run(write(bytes_of_size(100)), 10);
  set_parts(config, 0, 40, 50, 100);
  config.mutable_evaluation()->set_stride(3);
  config.mutable_evaluation()->set_sequences(4);
  const std::unique_ptr<Dataset> dataset = make_dataset(config);
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(dataset->validation_batch(i, 1).valid_labels, 3) << i;
}

TEST_F(ByteDatasetTest, TheDescriptionTellsOfTheOverlap) {
  config::Run config = run(write(bytes_of_size(100)), 10);
  set_parts(config, 0, 40, 50, 100);
  EXPECT_EQ(make_dataset(config)->description().find("apart"), std::string::npos);
  config.mutable_evaluation()->set_stride(4);
  testing::expect_contains(make_dataset(config)->description(), ", 4 bytes apart,");
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

TEST_F(ByteDatasetTest, APipeIsRefusedWithoutWaitingForAWriter) {
  const std::string path = directory_.path() + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(error_of(run(path, 10)), path + ": is not a regular file");
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

}  // namespace
}  // namespace reformer
