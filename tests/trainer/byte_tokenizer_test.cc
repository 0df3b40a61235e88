// Bytes to tokens and back.
#include "trainer/data/byte_tokenizer.h"

#include <limits>
#include <numeric>

#include <gtest/gtest.h>

namespace reformer {
namespace {

std::string all_bytes() {
  std::string bytes(256, '\0');
  std::iota(bytes.begin(), bytes.end(), '\0');
  return bytes;
}

TEST(ByteTokenizerTest, EveryByteHasItsTokenAndComesBack) {
  for (const int32_t offset : {0, 2, 16776960}) {
    const ByteTokenizer tokenizer(offset);
    const std::vector<int32_t> tokens = tokenizer.encode(all_bytes());
    std::vector<int32_t> expected(256);
    std::iota(expected.begin(), expected.end(), offset);
    EXPECT_EQ(tokens, expected);
    EXPECT_EQ(tokenizer.token_of(255), offset + 255);
    EXPECT_EQ(tokenizer.vocabulary(), offset + 256);
    EXPECT_EQ(tokenizer.decode(tokens), all_bytes());
  }
}

TEST(ByteTokenizerTest, WhatStandsForNoByteGivesNothing) {
  const ByteTokenizer tokenizer(2);
  const std::vector<int32_t> tokens = {
      0, 'a' + 2, 1, -1, 258, 257, 1 << 30, std::numeric_limits<int32_t>::min(), 'b' + 2};
  EXPECT_EQ(tokenizer.decode(tokens),
            "a\xff"
            "b");
  EXPECT_EQ(tokenizer.decode({}), "");
  EXPECT_TRUE(tokenizer.encode("").empty());
}

TEST(ByteTokenizerTest, ACharacterMayEndWithTheTokens) {
  const ByteTokenizer tokenizer;
  const std::vector<int32_t> tokens = tokenizer.encode("ä");
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokenizer.decode(std::span(tokens).first(1)), "\xc3");
}

TEST(ByteTokenizerTest, SaysWhatItAdds) {
  EXPECT_EQ(ByteTokenizer().description(), "bytes");
  EXPECT_EQ(ByteTokenizer(2).description(), "bytes, 2 added");
}

}  // namespace
}  // namespace reformer
