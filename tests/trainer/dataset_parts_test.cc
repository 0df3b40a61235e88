// Sequences in parts, as ranks that share them read them: glued together they are whole, and no
// part reads what another one has.
#include <filesystem>
#include <functional>
#include <numeric>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/dataset_testing.h"
#include "tests/trainer/token_shards_testing.h"
#include "trainer/data/stream_dataset.h"

namespace reformer {
namespace {

using testing::count_valid;
using testing::Row;
using testing::row_of;

constexpr int64_t kLength = 24;

using Read = std::function<TokenBatch(const DataRange& positions)>;

/// Parts that end at `ends`, glued together, are the whole of what `read` gives.
void expect_whole(const Read& read, const std::vector<int64_t>& ends) {
  const TokenBatch whole = read({0, kLength});
  const int64_t samples = whole.tokens.shape()[0];
  std::vector<Row> tokens(static_cast<size_t>(samples));
  std::vector<Row> labels(static_cast<size_t>(samples));
  int64_t valid_labels = 0;
  int64_t begin = 0;
  for (const int64_t end : ends) {
    const TokenBatch part = read({begin, end});
    ASSERT_EQ(part.tokens.shape(), (Shape{samples, end - begin}));
    for (int64_t row = 0; row < samples; ++row) {
      const Row part_tokens = row_of(part.tokens, row);
      const Row part_labels = row_of(part.labels, row);
      Row& row_tokens = tokens[static_cast<size_t>(row)];
      Row& row_labels = labels[static_cast<size_t>(row)];
      row_tokens.insert(row_tokens.end(), part_tokens.begin(), part_tokens.end());
      row_labels.insert(row_labels.end(), part_labels.begin(), part_labels.end());
    }
    EXPECT_EQ(part.valid_labels, count_valid(part));
    valid_labels += part.valid_labels;
    begin = end;
  }
  ASSERT_EQ(begin, kLength);
  for (int64_t row = 0; row < samples; ++row) {
    EXPECT_EQ(tokens[static_cast<size_t>(row)], row_of(whole.tokens, row));
    EXPECT_EQ(labels[static_cast<size_t>(row)], row_of(whole.labels, row));
  }
  EXPECT_EQ(valid_labels, whole.valid_labels);
}

/// All cuts in two, and one token after the other; with an empty part at either end.
std::vector<std::vector<int64_t>> splits() {
  std::vector<std::vector<int64_t>> all;
  for (int64_t cut = 0; cut <= kLength; ++cut) all.push_back({cut, kLength});
  all.emplace_back(kLength);
  std::iota(all.back().begin(), all.back().end(), 1);
  return all;
}

struct PartsCase {
  const char* name;
  std::function<void(config::Run&, const std::string& folder)> set_up;
};

void write_text(config::Run& run, const std::string& folder, config::Data::Source source) {
  std::string text;
  // The last held-out sequence lacks some of its tokens.
  for (int i = 0; i < 40 * kLength + 11; ++i) text += static_cast<char>('a' + i * i % 23);
  testing::write_file(folder + "/text", text);
  run.mutable_data()->set_source(source);
  run.mutable_data()->set_path(folder + "/text");
}

std::vector<PartsCase> cases() {
  using config::Data;
  return {
      {"Bytes",
       [](config::Run& run, const std::string& folder) { write_text(run, folder, Data::BYTES); }},
      {"Overlapping",
       [](config::Run& run, const std::string& folder) {
         write_text(run, folder, Data::BYTES);
         run.mutable_evaluation()->set_stride(7);
       }},
      {"Characters",
       [](config::Run& run, const std::string& folder) {
         write_text(run, folder, Data::CHARACTERS);
         run.mutable_data()->set_alphabet("abcdefghijklmnopqrstuvwxyz");
       }},
      {"Tokens",
       [](config::Run& run, const std::string& folder) {
         testing::write_shards(folder + "/tokens", testing::some_tokens(1003, 90), 90,
                               /*shard_tokens=*/100);
         run.mutable_data()->set_source(Data::TOKENS);
         run.mutable_data()->set_path(folder + "/tokens");
       }},
      {"Records",
       [](config::Run& run, const std::string& folder) {
         testing::write_file(folder + "/records", std::string(20 * kLength, 'r'));
         run.mutable_data()->set_source(Data::RECORDS);
         run.mutable_data()->set_path(folder + "/records");
       }},
      {"Duplication",
       [](config::Run& run, const std::string&) {
         run.mutable_data()->set_source(Data::DUPLICATION);
       }},
      {"Increment", [](config::Run& run,
                       const std::string&) { run.mutable_data()->set_source(Data::INCREMENT); }},
      {"Retrieval", [](config::Run& run, const std::string&) {
         run.mutable_data()->set_source(Data::RETRIEVAL);
         run.mutable_data()->set_value_length(2);
       }}};
}

class DatasetPartsTest : public ::testing::TestWithParam<PartsCase> {};

TEST_P(DatasetPartsTest, GluedTogetherAreWhole) {
  const testing::TemporaryDirectory directory;
  config::Run run;
  run.mutable_data()->set_length(kLength);
  run.mutable_model()->set_vocabulary(1000);
  run.mutable_evaluation()->set_sequences(0);
  GetParam().set_up(run, directory.path());
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  const int64_t held_out = dataset->validation_sequences();
  for (const std::vector<int64_t>& ends : splits()) {
    SCOPED_TRACE(fmt::format("first end {} of {}", ends.front(), ends.size()));
    expect_whole(
        [&](const DataRange& positions) { return dataset->training_batch(3, 2, 5, positions); },
        ends);
    expect_whole(
        [&](const DataRange& positions) {
          return dataset->validation_batch(0, held_out, positions);
        },
        ends);
  }
}

INSTANTIATE_TEST_SUITE_P(Sources, DatasetPartsTest, ::testing::ValuesIn(cases()),
                         [](const auto& tested) { return tested.param.name; });

/// Tokens 0, 1, 2, …; keeps what was read.
class WatchedStream final : public TokenStream {
 public:
  WatchedStream(int64_t size, std::vector<DataRange>& reads) : size_(size), reads_(reads) {}

  int64_t size() const override { return size_; }
  void read(int64_t begin, std::span<int32_t> tokens) const override {
    ASSERT_LE(begin + static_cast<int64_t>(tokens.size()), size_);
    reads_.push_back({begin, begin + static_cast<int64_t>(tokens.size())});
    std::iota(tokens.begin(), tokens.end(), static_cast<int32_t>(begin));
  }
  int64_t vocabulary() const override { return size_; }
  const std::string& path() const override { return path_; }

 private:
  int64_t size_;
  std::vector<DataRange>& reads_;
  std::string path_ = "watched";
};

TEST(DatasetPartsTest, OfAStreamOnlyThePartAndTheTokenAfterAreRead) {
  config::Run run;
  run.mutable_data()->set_length(kLength);
  run.mutable_data()->set_validation_share(0.5);
  run.mutable_evaluation()->set_sequences(0);
  std::vector<DataRange> reads;
  const StreamDataset dataset(run, std::make_unique<WatchedStream>(200, reads));
  const TokenBatch batch = dataset.training_batch(1, 0, 1, {8, 16});
  ASSERT_EQ(reads.size(), 1U);
  EXPECT_EQ(reads[0].size(), 9);
  EXPECT_EQ(reads[0].begin, batch.tokens.data<int32_t>()[0]);

  // Held-out tokens 100 … 199 are four windows and three tokens; the last window has four.
  ASSERT_EQ(dataset.validation_sequences(), 5);
  reads.clear();
  EXPECT_EQ(dataset.validation_batch(4, 1, {0, 2}).valid_labels, 2);
  EXPECT_EQ(dataset.validation_batch(4, 1, {2, 8}).valid_labels, 1);
  EXPECT_EQ(dataset.validation_batch(4, 1, {8, kLength}).valid_labels, 0);
  ASSERT_EQ(reads.size(), 2U);
  EXPECT_EQ(reads[0].end, 199);
  EXPECT_EQ(reads[1].begin, 198);
  EXPECT_EQ(reads[1].end, 200);
}

TEST(DatasetPartsTest, OfARecordOnlyThePagesOfThePartAreTouched) {
  constexpr int64_t kRecord = int64_t{1} << 20;
  const testing::TemporaryDirectory directory;
  const std::string path = directory.path() + "/records";
  testing::write_file(path, std::string(2 * kRecord, 'r'));
  config::Run run;
  run.mutable_data()->set_source(config::Data::RECORDS);
  run.mutable_data()->set_path(path);
  run.mutable_data()->set_length(kRecord);
  run.mutable_data()->set_validation_share(0.5);
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  // Whoever touches pages beyond the end of the file gets SIGBUS.
  std::filesystem::resize_file(path, kRecord / 2);
  EXPECT_EQ(dataset->training_batch(1, 0, 1, {0, kRecord / 2}).valid_labels, kRecord / 2);
  EXPECT_DEATH(dataset->training_batch(1, 0, 1), "");
}

TEST(DatasetPartsTest, PositionsOutsideASequenceAreABug) {
  config::Run run;
  run.mutable_data()->set_length(kLength);
  run.mutable_data()->set_source(config::Data::DUPLICATION);
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  EXPECT_DEATH(dataset->training_batch(1, 0, 1, {0, kLength + 1}), "positions");
  EXPECT_DEATH(dataset->validation_batch(0, 1, {-1, 4}), "positions");
}

}  // namespace
}  // namespace reformer
