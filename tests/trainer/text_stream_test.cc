#include "trainer/generation/text_stream.h"

#include <gtest/gtest.h>

#include "trainer/data/byte_tokenizer.h"

namespace reformer {
namespace {

using Pieces = std::vector<std::string>;

/// Tokens that stand for words; one after another is told apart by a space.
class WordTokenizer final : public Tokenizer {
 public:
  int64_t vocabulary() const override { return 3; }
  std::vector<int32_t> encode(std::string_view) const override { return {}; }
  std::string decode(std::span<const int32_t> tokens) const override {
    static const char* const kWords[] = {"one", "two", "three"};
    std::string text;
    for (const int32_t token : tokens) {
      text += (text.empty() ? "" : " ") + std::string(kWords[token]);
    }
    return text;
  }
  std::string description() const override { return "words"; }
};

/// The pieces in which `text` comes out after `prompt`, byte by byte, up to a stop.
Pieces pieces_of(const std::string& prompt, const std::string& text, const Pieces& stop) {
  const ByteTokenizer tokenizer;
  TextStream stream(tokenizer, tokenizer.encode(prompt), stop);
  Pieces pieces;
  for (const int32_t token : tokenizer.encode(text)) {
    pieces.push_back(stream.add(token));
    if (stream.stopped()) return pieces;
  }
  pieces.push_back(stream.finish());
  return pieces;
}

TEST(TextStreamTest, GivesEachByteAtOnce) {
  EXPECT_EQ(pieces_of("x", "abc", {}), (Pieces{"a", "b", "c", ""}));
}

TEST(TextStreamTest, HoldsBackWhatMayBeAStop) {
  EXPECT_EQ(pieces_of("x", "a\nb", {"\n\n"}), (Pieces{"a", "", "\nb", ""}));
  EXPECT_EQ(pieces_of("x", "a\n", {"\n\n"}), (Pieces{"a", "", "\n"}));
  // The stop may begin inside what looked like its beginning.
  EXPECT_EQ(pieces_of("x", "aab", {"ab"}), (Pieces{"", "a", ""}));
  EXPECT_EQ(pieces_of("x", "xaxay", {"xay"}), (Pieces{"", "", "xa", "", ""}));
}

TEST(TextStreamTest, EndsAtTheFirstStop) {
  EXPECT_EQ(pieces_of("x", "one. two! three", {"!", "."}), (Pieces{"o", "n", "e", ""}));
  EXPECT_EQ(pieces_of("x", "abcd", {"bcd", "c"}), (Pieces{"a", "", "b"}));
}

TEST(TextStreamTest, AStopInThePromptDoesNotCount) {
  EXPECT_EQ(pieces_of("a.", "b.", {"."}), (Pieces{"b", ""}));
  EXPECT_EQ(pieces_of("\n", "\n", {"\n\n"}), (Pieces{"", "\n"}));
}

TEST(TextStreamTest, IgnoresEmptyStops) {
  EXPECT_EQ(pieces_of("x", "ab", {""}), (Pieces{"a", "b", ""}));
}

TEST(TextStreamTest, ATokenHasTheTextThatItAdds) {
  const WordTokenizer tokenizer;
  TextStream stream(tokenizer, std::vector<int32_t>{0}, {});
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(stream.add(1), " two");
    EXPECT_EQ(stream.add(2), " three");
  }
}

}  // namespace
}  // namespace reformer
