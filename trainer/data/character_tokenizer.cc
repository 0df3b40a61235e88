#include "trainer/data/character_tokenizer.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <fmt/format.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

char other_case(char letter) {
  const auto byte = static_cast<unsigned char>(letter);
  return static_cast<char>(std::islower(byte) ? std::toupper(byte) : std::tolower(byte));
}

std::string printable(uint8_t byte) {
  return std::isprint(byte) ? fmt::format("'{}'", static_cast<char>(byte))
                            : fmt::format("byte 0x{:02x}", byte);
}

}  // namespace

CharacterTokenizer::CharacterTokenizer(std::string alphabet, bool fold_case,
                                       const std::string& header_mark)
    : alphabet_(std::move(alphabet)), fold_case_(fold_case) {
  token_of_byte_.fill(Scanner::kUnknown);
  token_of_byte_['\n'] = token_of_byte_['\r'] = Scanner::kSkipped;
  for (size_t i = 0; i < alphabet_.size(); ++i) {
    int32_t& token = token_of_byte_[static_cast<uint8_t>(alphabet_[i])];
    CHECK_EQ(token, Scanner::kUnknown);
    token = static_cast<int32_t>(i);
  }
  for (size_t i = 0; fold_case && i < alphabet_.size(); ++i) {
    token_of_byte_[static_cast<uint8_t>(other_case(alphabet_[i]))] = static_cast<int32_t>(i);
  }
  if (!header_mark.empty()) header_mark_ = static_cast<uint8_t>(header_mark[0]);
}

CharacterTokenizer::CharacterTokenizer(const config::Data& data)
    : CharacterTokenizer(data.alphabet(), data.fold_case(), data.header_mark()) {}

int32_t CharacterTokenizer::Scanner::next(uint8_t byte) {
  if (byte == '\n' || byte == '\r') {
    at_line_start_ = true;
    in_header_ = false;
    return kSkipped;
  }
  if (at_line_start_) in_header_ = byte == tokenizer_->header_mark_;
  at_line_start_ = false;
  return in_header_ ? kSkipped : tokenizer_->token_of_byte_[byte];
}

std::string CharacterTokenizer::complaint_about(std::string_view text, size_t position) const {
  const std::string_view before = text.substr(0, position);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t line_start =
      before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return fmt::format("line {}, column {}: {} is not in data.alphabet \"{}\"", line,
                     position - line_start + 1, printable(static_cast<uint8_t>(text[position])),
                     alphabet_);
}

std::vector<int32_t> CharacterTokenizer::encode(std::string_view text) const {
  std::vector<int32_t> tokens;
  tokens.reserve(text.size());
  Scanner scanner(*this);
  for (size_t i = 0; i < text.size(); ++i) {
    const int32_t token = scanner.next(static_cast<uint8_t>(text[i]));
    if (token == Scanner::kUnknown) throw DataError("text: " + complaint_about(text, i));
    if (token != Scanner::kSkipped) tokens.push_back(token);
  }
  return tokens;
}

std::string CharacterTokenizer::decode(std::span<const int32_t> tokens) const {
  std::string text;
  text.reserve(tokens.size());
  for (const int32_t token : tokens) {
    if (0 <= token && token < vocabulary()) text += alphabet_[static_cast<size_t>(token)];
  }
  return text;
}

std::string CharacterTokenizer::description() const {
  return fmt::format("characters of \"{}\"{}", alphabet_, fold_case_ ? ", case folded" : "");
}

}  // namespace reformer
