// Text to the pieces of a model and back.
#include "trainer/data/sentencepiece_tokenizer.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/sentencepiece_testing.h"

namespace reformer {
namespace {

using testing::model_with_bytes;
using testing::model_without_bytes;

using Tokens = std::vector<int32_t>;

class SentencePieceTokenizerTest : public ::testing::Test {
 protected:
  const SentencePieceTokenizer bytes_{model_with_bytes(), "m"};
  const SentencePieceTokenizer plain_{model_without_bytes(), "m"};
};

TEST_F(SentencePieceTokenizerTest, ALineIsEncodedAsTheLibraryDoes) {
  sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(library.LoadFromSerializedProto(model_without_bytes()).ok());
  for (const std::string line : {"She was convinced of it.", " two  spaces ", "Elliot", ""}) {
    std::vector<int> expected;
    ASSERT_TRUE(library.Encode(line, &expected).ok());
    EXPECT_EQ(plain_.encode(line), Tokens(expected.begin(), expected.end())) << line;
    EXPECT_EQ(plain_.decode(plain_.encode(line)), library.DecodeIds(expected)) << line;
  }
  EXPECT_EQ(plain_.vocabulary(), 320);
  EXPECT_LT(plain_.encode("She was convinced of it.").size(), 20u) << "pieces, not characters";
}

TEST_F(SentencePieceTokenizerTest, TextComesBack) {
  const std::string text = "She had been\nforced into prudence\n\nin her youth.\n";
  EXPECT_TRUE(bytes_.keeps_line_breaks());
  EXPECT_EQ(bytes_.decode(bytes_.encode(text)), text);
  EXPECT_EQ(bytes_.decode(bytes_.encode("日本 \xf0\x9f\x99\x82")), "日本 \xf0\x9f\x99\x82");
  EXPECT_EQ(bytes_.decode(bytes_.encode("no end")), "no end");
}

TEST_F(SentencePieceTokenizerTest, WithoutAPieceForThemLineBreaksAreSpaces) {
  EXPECT_FALSE(plain_.keeps_line_breaks());
  EXPECT_EQ(plain_.encode("one two\n\nthree\n"), plain_.encode("one two three"));
  EXPECT_EQ(plain_.decode(plain_.encode("one\ntwo")), "one two");
}

TEST_F(SentencePieceTokenizerTest, ALineBreakMayBeAPieceOfItsOwn) {
  const SentencePieceTokenizer tokenizer(
      testing::train_sentencepiece({{"user_defined_symbols", "\n"}}), "m");
  EXPECT_TRUE(tokenizer.keeps_line_breaks());
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("one two\n\nthree")), "one two\n\nthree");
}

TEST_F(SentencePieceTokenizerTest, TheTextOfTheFirstTokensIsTheStartOfTheText) {
  const std::string text = "Anne, at seven-and-twenty,\nthought — 日本 —\n very differently";
  const Tokens tokens = bytes_.encode(text);
  std::string before;
  for (size_t count = 0; count <= tokens.size(); ++count) {
    const std::string start = bytes_.decode(std::span(tokens).first(count));
    EXPECT_TRUE(start.starts_with(before)) << start;
    EXPECT_TRUE(bytes_.decode(tokens).starts_with(start)) << start;
    before = start;
  }
}

TEST_F(SentencePieceTokenizerTest, WhatTheModelDoesNotKnowIsOneToken) {
  const Tokens tokens = plain_.encode("a 日 b");
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), plain_.unknown()), 1);
  EXPECT_EQ(plain_.decode(tokens), "a  \u2047  b");
  const Tokens known = bytes_.encode("a 日 b");
  EXPECT_EQ(std::count(known.begin(), known.end(), bytes_.unknown()), 0);
}

TEST_F(SentencePieceTokenizerTest, NumbersOutsideAndControlsGiveNothing) {
  Tokens tokens = plain_.encode("one two");
  const std::string text = plain_.decode(tokens);
  for (const int32_t token : {-1, 320, 1 << 30, 1, 2}) tokens.insert(tokens.begin() + 1, token);
  EXPECT_EQ(plain_.decode(tokens), text) << "1 and 2 begin and end sentences";
  EXPECT_EQ(plain_.decode({}), "");
  EXPECT_TRUE(plain_.encode("").empty());
}

// The library would need memory for the whole of it at once.
TEST_F(SentencePieceTokenizerTest, ALineOfAnyLengthIsEncodedInParts) {
  std::string words;
  while (words.size() < 200000) words += "she was persuaded ";
  words.pop_back();
  EXPECT_EQ(bytes_.decode(bytes_.encode(words)), words);
  const Tokens one = plain_.encode("she was persuaded");
  const Tokens all = plain_.encode(words);
  ASSERT_EQ(all.size() % one.size(), 0u);
  for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], one[i % one.size()]) << i;
}

TEST_F(SentencePieceTokenizerTest, AnyBytesAreEncodedSomehow) {
  std::string noise(50000, '\0');
  uint32_t state = 7;
  for (char& byte : noise) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>(state >> 24);
  }
  for (const SentencePieceTokenizer* tokenizer : {&bytes_, &plain_}) {
    const Tokens tokens = tokenizer->encode(noise);
    EXPECT_GT(tokens.size(), 1000u);
    for (const int32_t token : tokens) {
      ASSERT_TRUE(0 <= token && token < tokenizer->vocabulary());
    }
  }
}

TEST_F(SentencePieceTokenizerTest, WhatIsNoModelIsRefusedByName) {
  for (const std::string& model :
       {std::string(), std::string("text"), model_with_bytes().substr(0, 1000)}) {
    try {
      SentencePieceTokenizer(model, "a/b.model");
      ADD_FAILURE() << "accepted";
    } catch (const DataError& error) {
      EXPECT_STREQ(error.what(), "a/b.model: is no model of sentencepiece");
    }
  }
}

TEST_F(SentencePieceTokenizerTest, TheCompletePartHasTheTokensThatItHasInTheWhole) {
  std::string ideographs;
  for (int i = 0; i < 12000; ++i) ideographs += "日";
  std::string novel = testing::read_file("configs/persuasion.txt").substr(0, 60000);
  std::string no_spaces = novel;
  std::erase_if(no_spaces, [](char c) { return c == ' ' || c == '\n'; });
  for (const std::string& text : {"a " + ideographs, novel, no_spaces + "\n" + no_spaces}) {
    const Tokens expected = bytes_.encode(text);
    for (const size_t size : {10u, 16384u, 16385u, 16389u, 20000u, 32770u, 33000u}) {
      const size_t complete =
          SentencePieceTokenizer::complete_part(std::string_view(text).substr(0, size));
      EXPECT_LE(size - complete, 16384u);
      Tokens tokens = bytes_.encode(text.substr(0, complete));
      const Tokens rest = bytes_.encode(text.substr(complete));
      tokens.insert(tokens.end(), rest.begin(), rest.end());
      EXPECT_TRUE(tokens == expected) << size << " bytes of " << text.substr(0, 10);
    }
  }
  EXPECT_EQ(SentencePieceTokenizer::complete_part("one\ntwo"), 4u);
}

}  // namespace
}  // namespace reformer
