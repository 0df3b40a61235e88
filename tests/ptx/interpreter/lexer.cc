#include "tests/ptx/interpreter/lexer.h"

#include "tests/ptx/interpreter/errors.h"

namespace reformer::ptx {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_alphanumeric(char c) {
  return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

bool is_word(char c) {
  return is_alphanumeric(c) || c == '_' || c == '$' || c == '%' || c == '.';
}

}  // namespace

Lexer::Lexer(std::string_view text) : text_(text) {
  advance();
}

Token Lexer::next() {
  const Token token = token_;
  advance();
  return token;
}

void Lexer::skip_line() {
  const int line = token_.line;
  while (token_.kind != TokenKind::kEnd && token_.line == line) advance();
}

void Lexer::skip_blank() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '\n') ++line_;
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      ++at_;
    } else if (text_.substr(at_, 2) == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (text_.substr(at_, 2) == "/*") {
      const std::size_t end = text_.find("*/", at_ + 2);
      if (end == std::string_view::npos) throw ParseError("a comment without an end", line_);
      for (; at_ < end + 2; ++at_) line_ += text_[at_] == '\n' ? 1 : 0;
    } else {
      return;
    }
  }
}

void Lexer::take(TokenKind kind, std::size_t end) {
  token_ = {kind, text_.substr(at_, end - at_), line_, at_};
  at_ = end;
}

void Lexer::advance() {
  skip_blank();
  if (at_ >= text_.size() || text_[at_] == '\0') {
    token_ = {TokenKind::kEnd, "", line_, at_};
    return;
  }
  const char c = text_[at_];
  std::size_t end = at_ + 1;
  if (is_digit(c)) {
    const auto goes_on = [&](char d) {
      const char before = text_[end - 1];
      const bool decimal = text_.substr(at_, 2) != "0x" && text_.substr(at_, 2) != "0X";
      const bool exponent = decimal && (d == '-' || d == '+') && (before | 0x20) == 'e' &&
                            text_.substr(at_, end - at_).find('.') != std::string_view::npos;
      return is_alphanumeric(d) || d == '.' || exponent;
    };
    while (end < text_.size() && goes_on(text_[end])) ++end;
    take(TokenKind::kNumber, end);
  } else if (is_word(c)) {
    // A word may hold "::", as in .shared::cta; a single colon ends a label.
    while (end < text_.size() && (is_word(text_[end]) || text_.substr(end, 2) == "::")) {
      end += text_[end] == ':' ? 2U : 1U;
    }
    take(TokenKind::kWord, end);
  } else if (c == '"') {
    end = text_.find('"', at_ + 1);
    if (end == std::string_view::npos) throw ParseError("a string without an end", line_);
    ++at_;
    take(TokenKind::kString, end);
    ++at_;
  } else {
    take(TokenKind::kSymbol, end);
  }
}

}  // namespace reformer::ptx
