// A text file's characters as a stream of tokens: any stretch is what the whole has there.
#include "trainer/data/character_stream.h"

#include <vector>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::TemporaryDirectory;
using testing::write_file;

class CharacterStreamTest : public ::testing::Test {
 protected:
  std::string write(const std::string& text) {
    write_file(path(), text);
    return path();
  }
  std::string path() const { return directory_.path() + "/dna"; }
  std::string error_of(const std::string& text) {
    try {
      CharacterStream(write(text), tokenizer_);
      return "accepted";
    } catch (const DataError& error) {
      return error.what();
    }
  }

  TemporaryDirectory directory_;
  CharacterTokenizer tokenizer_{"ACGT", false, ">"};
};

// Lines, headers and the steps of the index fall into each other's middle.
TEST_F(CharacterStreamTest, AnyStretchIsWhatTheWholeHasThere) {
  std::string text;
  uint32_t state = 1;
  for (int line = 0; line < 300; ++line) {
    if (line % 17 == 0) text += ">record " + std::to_string(line) + " ACGT\r\n";
    for (int i = 0; i < 61; ++i) {
      state = state * 1664525u + 1013904223u;
      text += "ACGT"[state >> 30];
    }
    text += line % 3 == 0 ? "\r\n" : "\n";
  }
  const std::vector<int32_t> all = tokenizer_.encode(text);
  ASSERT_EQ(all.size(), 300u * 61);
  const CharacterStream stream(write(text), tokenizer_);
  ASSERT_EQ(stream.size(), static_cast<int64_t>(all.size()));
  EXPECT_EQ(stream.vocabulary(), 4);
  EXPECT_EQ(stream.path(), path());
  for (const size_t begin : {0u, 1u, 4095u, 4096u, 4097u, 8192u, 12345u, 18299u}) {
    for (const size_t count : {0u, 1u, 61u, 100u, 5000u, 18300u}) {
      if (begin + count > all.size()) continue;
      std::vector<int32_t> tokens(count, -9);
      stream.read(static_cast<int64_t>(begin), tokens);
      EXPECT_TRUE(
          std::equal(tokens.begin(), tokens.end(), all.begin() + static_cast<ptrdiff_t>(begin)))
          << begin << " " << count;
    }
  }
}

TEST_F(CharacterStreamTest, AStrangeCharacterIsNamedWithFileAndPlace) {
  EXPECT_EQ(error_of("ACGT\n"), "accepted");
  EXPECT_EQ(error_of(">x\nACGT\nACNT\n"),
            path() + ": line 3, column 3: 'N' is not in data.alphabet \"ACGT\"");
}

TEST_F(CharacterStreamTest, AFileOfHeadersHasNoTokens) {
  EXPECT_EQ(CharacterStream(write(">x\n>y\n"), tokenizer_).size(), 0);
  EXPECT_EQ(error_of(""), path() + ": is empty");
}

}  // namespace
}  // namespace reformer
