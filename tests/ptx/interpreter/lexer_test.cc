#include "tests/ptx/interpreter/lexer.h"

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  Lexer lexer(text);
  while (lexer.peek().kind != TokenKind::kEnd) words.emplace_back(lexer.next().text);
  return words;
}

using Words = std::vector<std::string>;

TEST(LexerTest, CutsInstructions) {
  EXPECT_EQ(words_of("@!%p1 ld.shared::cta.v2.f32 {%f1,%f2}, [%rd1+-4];"),
            (Words{"@", "!", "%p1", "ld.shared::cta.v2.f32", "{", "%f1", ",", "%f2", "}", ",", "[",
                   "%rd1", "+", "-", "4", "]", ";"}));
  EXPECT_EQ(words_of("$L__BB0_2: bra.uni $L__BB0_2;"),
            (Words{"$L__BB0_2", ":", "bra.uni", "$L__BB0_2", ";"}));
}

TEST(LexerTest, CutsNumbers) {
  EXPECT_EQ(words_of("0f3F800000 0x1e-5 1.5e-3 7U 0b101"),
            (Words{"0f3F800000", "0x1e", "-", "5", "1.5e-3", "7U", "0b101"}));
}

TEST(LexerTest, SkipsCommentsAndCountsLines) {
  Lexer lexer("a // b\n /* c\n d */ e\nf \"g h\" i");
  EXPECT_EQ(lexer.next().line, 1);
  EXPECT_EQ(lexer.peek().text, "e");
  EXPECT_EQ(lexer.next().line, 3);
  lexer.skip_line();
  EXPECT_EQ(lexer.peek().kind, TokenKind::kEnd);
}

TEST(LexerTest, StringsStandWithoutQuotes) {
  Lexer lexer("\"g h\" i");
  EXPECT_EQ(lexer.peek().kind, TokenKind::kString);
  EXPECT_EQ(lexer.next().text, "g h");
  EXPECT_EQ(lexer.next().text, "i");
}

TEST(LexerTest, ATextEndsAtItsFirstZero) {
  EXPECT_EQ(words_of(std::string("a\0b", 3)), (Words{"a"}));
}

TEST(LexerTest, NamesTheLineOfWhatHasNoEnd) {
  try {
    words_of("a\n/* b");
    FAIL();
  } catch (const ParseError& error) {
    EXPECT_STREQ(error.what(), "a comment without an end at line 2");
    EXPECT_EQ(error.line, 2);
  }
}

}  // namespace
}  // namespace reformer::ptx
