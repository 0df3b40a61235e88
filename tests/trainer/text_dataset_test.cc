#include "trainer/data/text_dataset.h"

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "trainer/data/byte_tokenizer.h"

namespace reformer {
namespace {

/// Two bytes make a token.
class PairTokenizer final : public Tokenizer {
 public:
  int64_t vocabulary() const override { return 65536; }
  std::vector<int32_t> encode(std::string_view text) const override {
    std::vector<int32_t> tokens;
    for (size_t i = 0; i + 1 < text.size(); i += 2) tokens.push_back(text[i] * 256 + text[i + 1]);
    return tokens;
  }
  std::string decode(std::span<const int32_t> tokens) const override {
    return std::string(tokens.size() * 2, '?');
  }
  std::string description() const override { return "pairs"; }
};

class TextDatasetTest : public ::testing::Test {
 protected:
  TextDatasetTest() {
    run_.mutable_data()->set_length(10);
    run_.mutable_evaluation()->set_sequences(0);
  }

  TextDataset make(const std::string& text, const Tokenizer& tokenizer) {
    testing::write_file(path_, text);
    return make_text_dataset(run_, path_, tokenizer);
  }

  testing::TemporaryDirectory directory_;
  std::string path_ = directory_.path() + "/text";
  config::Run run_;
};

TEST_F(TextDatasetTest, TheWholeTextIsHeldOut) {
  const TextDataset text = make("abcdefghijklmnopqrstuvwxyz", ByteTokenizer());
  ASSERT_EQ(text.dataset->validation_sequences(), 3);
  EXPECT_EQ(text.predicted_bytes, 25);
  const TokenBatch batch = text.dataset->validation_batch(0, 3);
  EXPECT_EQ(batch.valid_labels, 25);
  EXPECT_EQ(batch.tokens.data<int32_t>()[0], 'a');
  EXPECT_EQ(batch.labels.data<int32_t>()[24], 'z');
}

TEST_F(TextDatasetTest, CountsTheBytesThatTokensStandFor) {
  const TextDataset text = make(std::string(40, 'x'), PairTokenizer());
  EXPECT_EQ(text.dataset->validation_batch(0, text.dataset->validation_sequences()).valid_labels,
            19);
  EXPECT_EQ(text.predicted_bytes, 38);
}

TEST_F(TextDatasetTest, RecordsStayRecords) {
  run_.mutable_data()->set_source(config::Data::RECORDS);
  const TextDataset text = make("abcdefghijABCDEFGHIJ", ByteTokenizer());
  ASSERT_EQ(text.dataset->validation_sequences(), 2);
  const TokenBatch second = text.dataset->validation_batch(1, 1);
  EXPECT_EQ(second.labels.data<int32_t>()[0], 'A');
  EXPECT_NE(second.tokens.data<int32_t>()[0], 'j');
}

TEST_F(TextDatasetTest, SaysThatAllIsHeldOut) {
  testing::expect_contains(make("abcdefghijklm", ByteTokenizer()).dataset->description(),
                           ": held-out [0, 13), of which 2 of 2");
}

TEST_F(TextDatasetTest, TooShortATextIsRefusedByName) {
  EXPECT_THROW(make("", ByteTokenizer()), DataError);
  EXPECT_THROW(make("x", PairTokenizer()), DataError);
  try {
    make("abcdefghij", ByteTokenizer());
    FAIL();
  } catch (const DataError& error) {
    testing::expect_contains(error.what(), path_ + ": too short: the held-out part");
  }
}

}  // namespace
}  // namespace reformer
