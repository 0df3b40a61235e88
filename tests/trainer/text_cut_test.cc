// Where long texts are cut.
#include "trainer/data/text_cut.h"

#include <string>

#include <gtest/gtest.h>

namespace reformer {
namespace {

TEST(TextCutTest, WhatFitsIsNotCut) {
  EXPECT_EQ(cut_before_word("", 4), 0u);
  EXPECT_EQ(cut_before_word("a b", 4), 3u);
  EXPECT_EQ(cut_before_word("a bc", 4), 4u);
}

TEST(TextCutTest, TheLastSpaceThatFitsBeginsTheNextPart) {
  EXPECT_EQ(cut_before_word("ab cd ef", 7), 5u);
  EXPECT_EQ(cut_before_word("ab cd ef", 5), 5u) << "the part ends where the space begins";
  EXPECT_EQ(cut_before_word("abcd ef", 6), 4u);
  EXPECT_EQ(cut_before_word("abcd ef", 4), 4u);
  EXPECT_EQ(cut_before_word(" abcdefgh", 4), 4u) << "a part is never empty";
}

TEST(TextCutTest, ACharacterStaysWhole) {
  EXPECT_EQ(cut_before_word("abcdefgh", 5), 5u);
  EXPECT_EQ(cut_before_word("ääää", 4), 4u);
  EXPECT_EQ(cut_before_word("ääää", 5), 4u);
  const std::string smiles = "\xf0\x9f\x99\x82\xf0\x9f\x99\x82\xf0\x9f\x99\x82";
  for (size_t most : {4u, 5u, 6u, 7u}) EXPECT_EQ(cut_before_word(smiles, most), 4u);
  EXPECT_EQ(cut_before_word(smiles, 8), 8u);
}

TEST(TextCutTest, TwoPartsAreLongerThanOneMayBe) {
  std::string smiles;
  for (int i = 0; i < 10; ++i) smiles += "\xf0\x9f\x99\x82";
  for (const std::string beginning : {"", " ", "a ", "ab ", "abc ", "abcd ", "abcde "}) {
    for (size_t most = 4; most < 20; ++most) {
      const std::string text = beginning + smiles;
      const size_t first = cut_before_word(text, most);
      const size_t second = cut_before_word(std::string_view(text).substr(first), most);
      EXPECT_GT(first + second, most) << text;
    }
  }
}

TEST(TextCutTest, WhatIsNoUtf8IsCutAnywhere) {
  EXPECT_EQ(cut_before_word(std::string(20, '\x80'), 6), 6u);
}

}  // namespace
}  // namespace reformer
