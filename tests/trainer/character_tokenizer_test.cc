// Characters of an alphabet to tokens and back.
#include "trainer/data/character_tokenizer.h"

#include <gtest/gtest.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

using Tokens = std::vector<int32_t>;

std::string error_of(const CharacterTokenizer& tokenizer, const std::string& text) {
  try {
    tokenizer.encode(text);
    return "accepted";
  } catch (const DataError& error) {
    return error.what();
  }
}

TEST(CharacterTokenizerTest, TheAlphabetCountsFromZero) {
  const CharacterTokenizer tokenizer("ACGTN", false, ">");
  EXPECT_EQ(tokenizer.vocabulary(), 5);
  EXPECT_EQ(tokenizer.encode("NATG"), (Tokens{4, 0, 3, 2}));
  EXPECT_EQ(tokenizer.decode(Tokens{4, 0, 3, 2}), "NATG");
  EXPECT_EQ(tokenizer.decode(Tokens{0, 5, -1, 1 << 30, 1}), "AC") << "others give nothing";
  EXPECT_EQ(tokenizer.encode(""), Tokens{});
}

TEST(CharacterTokenizerTest, LineBreaksAndHeaderLinesAreSkipped) {
  const CharacterTokenizer tokenizer("ACGT", false, ">");
  EXPECT_EQ(tokenizer.encode(">chr1 ACGT\nAC\r\nGT\n\n>chr2\nA\n>"), (Tokens{0, 1, 2, 3, 0}));
  EXPECT_EQ(tokenizer.encode("A\r>C\rG"), (Tokens{0, 2})) << "a lone CR ends a line too";
  EXPECT_EQ(tokenizer.encode(">nothing but a header"), Tokens{});
  EXPECT_EQ(error_of(tokenizer, "A>C"),
            "text: line 1, column 2: '>' is not in data.alphabet \"ACGT\"");
  const CharacterTokenizer other_mark("ACGT", false, ";");
  EXPECT_EQ(other_mark.encode(";xyz\nA"), Tokens{0});
  const CharacterTokenizer no_mark("AC>", false, "");
  EXPECT_EQ(no_mark.encode(">A\n>C"), (Tokens{2, 0, 2, 1}));
}

TEST(CharacterTokenizerTest, CaseIsFoldedWhereAsked) {
  EXPECT_EQ(CharacterTokenizer("AcG-", true, "").encode("aAcCgG-"), (Tokens{0, 0, 1, 1, 2, 2, 3}));
  EXPECT_EQ(CharacterTokenizer("AcG-", true, "").decode(Tokens{0, 1, 2, 3}), "AcG-");
  EXPECT_EQ(CharacterTokenizer("Aa", false, "").encode("aA"), (Tokens{1, 0}));
  EXPECT_EQ(error_of(CharacterTokenizer("AcG", false, ""), "a"),
            "text: line 1, column 1: 'a' is not in data.alphabet \"AcG\"");
}

TEST(CharacterTokenizerTest, AStrangeCharacterIsNamedWithItsPlace) {
  const CharacterTokenizer tokenizer("ACGT", false, ">");
  EXPECT_EQ(error_of(tokenizer, "ACGT"), "accepted");
  EXPECT_EQ(error_of(tokenizer, ">x\nACG\nACxT"),
            "text: line 3, column 3: 'x' is not in data.alphabet \"ACGT\"");
  EXPECT_EQ(error_of(tokenizer, std::string("A\0", 2)),
            "text: line 1, column 2: byte 0x00 is not in data.alphabet \"ACGT\"");
  EXPECT_EQ(error_of(tokenizer, "A\xc3\xa4"),
            "text: line 1, column 2: byte 0xc3 is not in data.alphabet \"ACGT\"");
}

TEST(CharacterTokenizerTest, IsMadeFromTheConfiguration) {
  config::Data data;
  data.set_alphabet("AC");
  EXPECT_EQ(CharacterTokenizer(data).encode(">x\nAC"), (Tokens{0, 1}));
  EXPECT_EQ(error_of(CharacterTokenizer(data), "c"),
            "text: line 1, column 1: 'c' is not in data.alphabet \"AC\"");
  data.set_fold_case(true);
  data.set_header_mark("#");
  EXPECT_EQ(CharacterTokenizer(data).encode("#x\nac"), (Tokens{0, 1}));
  EXPECT_EQ(CharacterTokenizer(data).description(), "characters of \"AC\", case folded");
}

}  // namespace
}  // namespace reformer
