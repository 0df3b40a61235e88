// Records to tokens and back: what a model of records has seen, start included.
#include "trainer/data/record_tokenizer.h"

#include <gtest/gtest.h>

#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/dataset_testing.h"
#include "trainer/data/record_dataset.h"

namespace reformer {
namespace {

using Tokens = std::vector<int32_t>;

TEST(RecordTokenizerTest, ATextBeginsWithTheStart) {
  const RecordTokenizer tokenizer{ByteTokenizer(1)};
  EXPECT_EQ(tokenizer.encode(""), Tokens{0});
  EXPECT_EQ(tokenizer.encode(std::string("\0a", 2)), (Tokens{0, 1, 'a' + 1}));
  EXPECT_EQ(tokenizer.decode(Tokens{0, 1, 'a' + 1}), std::string("\0a", 2));
  EXPECT_EQ(tokenizer.decode({}), "");
  EXPECT_EQ(tokenizer.vocabulary(), 257);
  EXPECT_EQ(tokenizer.description(), "records of bytes, 1 added");
}

TEST(RecordTokenizerTest, ByteZeroIsNotTakenForTheStart) {
  const RecordTokenizer tokenizer{ByteTokenizer()};
  const std::string record("\0\0x", 3);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(record)), record);
}

TEST(RecordTokenizerTest, TheFirstTokenIsDroppedWhereverItIsFrom) {
  const RecordTokenizer tokenizer{ByteTokenizer()};
  const Tokens tokens = tokenizer.encode("abcd");
  std::string grown;
  for (size_t count = 0; count <= tokens.size(); ++count) {
    const std::string text = tokenizer.decode(std::span(tokens).first(count));
    EXPECT_TRUE(text.starts_with(grown));
    grown = text;
  }
  EXPECT_EQ(grown, "abcd");
  EXPECT_EQ(tokenizer.decode(std::span(tokens).subspan(2)), "cd") << "not b";
}

TEST(RecordTokenizerTest, TokensAreThoseOfTheDataset) {
  const testing::TemporaryDirectory directory;
  config::Run run;
  run.mutable_data()->set_path(directory.path() + "/records");
  run.mutable_data()->set_length(5);
  run.mutable_data()->set_validation_share(0.5);
  testing::write_file(run.data().path(), "abcdeabcde");
  const TokenBatch batch = RecordDataset(run).training_batch(1, 0, 1);
  Tokens expected = RecordTokenizer(ByteTokenizer()).encode("abcde");
  EXPECT_EQ(testing::row_of(batch.labels, 0), Tokens(expected.begin() + 1, expected.end()));
  expected.pop_back();
  EXPECT_EQ(testing::row_of(batch.tokens, 0), expected);
}

}  // namespace
}  // namespace reformer
