#include "trainer/data/character_stream.h"

#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

using Scanner = CharacterTokenizer::Scanner;

constexpr int64_t kIndexEvery = 4096;

}  // namespace

CharacterStream::CharacterStream(const std::string& path, CharacterTokenizer tokenizer)
    : path_(path), file_(path), tokenizer_(std::move(tokenizer)) {
  const std::span<const uint8_t> bytes = file_.bytes();
  Scanner scanner(tokenizer_);
  for (size_t at = 0; at < bytes.size(); ++at) {
    const int32_t token = scanner.next(bytes[at]);
    if (token == Scanner::kSkipped) continue;
    if (token == Scanner::kUnknown) {
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      throw DataError(fmt::format("{}: {}", path_, tokenizer_.complaint_about(text, at)));
    }
    if (size_ % kIndexEvery == 0) index_.push_back(at);
    ++size_;
  }
}

void CharacterStream::read(int64_t begin, std::span<int32_t> tokens) const {
  if (tokens.empty()) return;
  const std::span<const uint8_t> bytes = file_.bytes();
  // An indexed character is no header, so a scanner may start there.
  Scanner scanner(tokenizer_);
  size_t at = index_[static_cast<size_t>(begin / kIndexEvery)];
  int64_t skip = begin % kIndexEvery;
  for (size_t filled = 0; filled < tokens.size(); ++at) {
    const int32_t token = scanner.next(bytes[at]);
    if (token == Scanner::kSkipped) continue;
    if (skip > 0) {
      --skip;
    } else {
      tokens[filled++] = token;
    }
  }
}

}  // namespace reformer
