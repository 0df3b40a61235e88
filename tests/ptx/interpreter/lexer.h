// Cuts PTX text into tokens.
#pragma once

#include <cstddef>
#include <string_view>

namespace reformer::ptx {

enum class TokenKind { kWord, kNumber, kString, kSymbol, kEnd };

struct Token {
  TokenKind kind = TokenKind::kEnd;
  // kWord: a name, a directive (".reg") or an instruction with its modifiers ("ld.global.f32");
  // kNumber: as written, without a sign; kString: without the quotes; kSymbol: one character.
  std::string_view text;
  int line = 1;
  std::size_t begin = 0;  // of `text` in the whole text

  bool is(char symbol) const { return kind == TokenKind::kSymbol && text[0] == symbol; }
  bool is(std::string_view word) const { return kind == TokenKind::kWord && text == word; }
};

class Lexer {
 public:
  explicit Lexer(std::string_view text);

  const Token& peek() const { return token_; }
  Token next();      // the token that peek() shows, and on to the one after it; ParseError
  void skip_line();  // on to the first token of a later line than that of peek()

 private:
  void advance();
  void skip_blank();
  void take(TokenKind kind, std::size_t end);

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  Token token_;
};

}  // namespace reformer::ptx
