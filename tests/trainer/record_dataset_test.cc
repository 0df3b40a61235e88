// Records as sequences: whole, by themselves, and every byte predicted once.
#include "trainer/data/record_dataset.h"

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/dataset_testing.h"

namespace reformer {
namespace {

using testing::expect_rows;
using testing::Row;
using testing::row_of;
using testing::TemporaryDirectory;
using testing::write_file;

class RecordDatasetTest : public ::testing::Test {
 protected:
  /// Record r of `count` has bytes 10r, 10r + 1, ….
  std::string write(int count, int length) {
    std::string bytes;
    for (int record = 0; record < count; ++record) {
      for (int i = 0; i < length; ++i) bytes += static_cast<char>(10 * record + i);
    }
    return write(bytes);
  }
  std::string write(const std::string& bytes) {
    write_file(directory_.path() + "/records", bytes);
    return directory_.path() + "/records";
  }

  static config::Run run(const std::string& path, int64_t length, uint64_t seed = 1) {
    config::Run run;
    run.mutable_data()->set_source(config::Data::RECORDS);
    run.mutable_data()->set_path(path);
    run.mutable_data()->set_length(length);
    run.mutable_training()->set_seed(seed);
    run.mutable_evaluation()->set_sequences(0);
    return run;
  }

  static std::string error_of(const config::Run& run) {
    try {
      RecordDataset dataset(run);
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  }

  TemporaryDirectory directory_;
};

TEST_F(RecordDatasetTest, ASequenceIsOneRecordBehindAStart) {
  config::Run config = run(write(20, 3), 3);
  config.mutable_data()->mutable_train()->set_begin(2);
  config.mutable_data()->mutable_train()->set_end(6);
  config.mutable_data()->mutable_validation()->set_begin(18);
  const RecordDataset dataset(config);
  const TokenBatch batch = dataset.training_batch(1, 0, 100);
  std::set<int32_t> records;
  for (int64_t row = 0; row < 100; ++row) {
    const int32_t first = row_of(batch.labels, row)[0];
    EXPECT_EQ(row_of(batch.tokens, row), (Row{0, first, first + 1}));
    EXPECT_EQ(row_of(batch.labels, row), (Row{first, first + 1, first + 2}));
    records.insert(first / 10);
  }
  EXPECT_EQ(records, (std::set<int32_t>{2, 3, 4, 5})) << "all of the training part and no other";
  EXPECT_EQ(batch.valid_labels, 300);
  ASSERT_EQ(dataset.validation_sequences(), 2);
  const TokenBatch held_out = dataset.validation_batch(0, 2);
  EXPECT_EQ(row_of(held_out.labels, 0), (Row{180, 181, 182}));
  EXPECT_EQ(row_of(held_out.tokens, 1), (Row{0, 190, 191}));
  EXPECT_EQ(held_out.valid_labels, 6);
}

TEST_F(RecordDatasetTest, BytesAreUnsignedAndShiftedByTheOffset) {
  config::Run config = run(write(std::string("\xff\x00\x80\xff\x00\x80", 6)), 3);
  config.mutable_data()->set_validation_share(0.5);
  config.mutable_data()->set_byte_offset(1);
  const RecordDataset dataset(config);
  EXPECT_EQ(row_of(dataset.training_batch(1, 0, 1).tokens, 0), (Row{0, 256, 1}));
  EXPECT_EQ(row_of(dataset.training_batch(1, 0, 1).labels, 0), (Row{256, 1, 129}));
}

TEST_F(RecordDatasetTest, ASequenceDependsOnItsIndexAlone) {
  std::string bytes;
  for (int i = 0; i < 60000; ++i) {
    bytes += std::string{static_cast<char>(i), static_cast<char>(i / 256), 'x'};
  }
  const std::string path = write(bytes);
  testing::expect_same_in_any_grouping(RecordDataset(run(path, 3)));
  testing::expect_distinct_streams([&](uint64_t seed) -> std::unique_ptr<Dataset> {
    return std::make_unique<RecordDataset>(run(path, 3, seed));
  });
}

TEST_F(RecordDatasetTest, HeldOutRecordsAreSpreadEvenly) {
  config::Run config = run(write(25, 2), 2);
  config.mutable_data()->set_validation_share(0.8);  // 5 … 24
  const RecordDataset all(config);
  ASSERT_EQ(all.validation_sequences(), 20);
  config.mutable_evaluation()->set_sequences(4);
  const RecordDataset some(config);
  ASSERT_EQ(some.validation_sequences(), 4);
  for (int64_t i = 0; i < 4; ++i) {
    expect_rows(some.validation_batch(i, 1), all.validation_batch(5 * i, 1), 0);
  }
  config.mutable_evaluation()->set_sequences(21);
  EXPECT_EQ(RecordDataset(config).validation_sequences(), 20);
}

TEST_F(RecordDatasetTest, WhatHoldsNoRecordsIsRefused) {
  const std::string path = write(std::string(35, 'x'));
  EXPECT_EQ(error_of(run(path, 10)),
            path +
                ": its 35 bytes are no multiple of a record's data.length = 10: 3 records and 5 "
                "bytes");
  EXPECT_EQ(error_of(run(path, 36)),
            path +
                ": its 35 bytes are no multiple of a record's data.length = 36: 0 records and "
                "35 bytes");
  EXPECT_EQ(error_of(run(path, 7)), path + ": the held-out part has none of the file's 5 records");
  config::Run config = run(path, 7);
  config.mutable_data()->set_validation_share(0.2);
  EXPECT_EQ(error_of(config), "accepted");
  EXPECT_EQ(error_of(run(directory_.path() + "/missing", 7)),
            directory_.path() + "/missing: No such file or directory");
}

TEST_F(RecordDatasetTest, AFileCanBeHeldOutAsAWhole) {
  config::Run config = run(directory_.path() + "/missing", 3);
  config.mutable_evaluation()->set_sequences(0);
  const std::string path = write("abcdefghi");
  const RecordDataset dataset(config, path);
  ASSERT_EQ(dataset.validation_sequences(), 3);
  EXPECT_EQ(dataset.validation_batch(0, 3).valid_labels, 9);
  EXPECT_EQ(dataset.validation_batch(1, 1).tokens.data<int32_t>()[0], 0);  // starts anew
  EXPECT_EQ(dataset.description(),
            "records of 3 bytes of " + path + ": held-out [0, 3), of which 3 are evaluated");
}

TEST_F(RecordDatasetTest, SaysWhatItIs) {
  const std::string path = write(20, 3);
  EXPECT_EQ(RecordDataset(run(path, 3)).description(),
            "records of 3 bytes of " + path +
                ": training [0, 18), held-out [18, 20), of which 2 are evaluated");
}

}  // namespace
}  // namespace reformer
