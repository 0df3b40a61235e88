#include "trainer/data/byte_tokenizer.h"

#include <limits>

#include <fmt/format.h>

#include "kernels/core/check.h"

namespace reformer {
namespace {

constexpr int32_t kByteValues = 256;

}  // namespace

ByteTokenizer::ByteTokenizer(int64_t offset) : offset_(static_cast<int32_t>(offset)) {
  CHECK(0 <= offset && offset <= std::numeric_limits<int32_t>::max() - kByteValues);
}

int64_t ByteTokenizer::vocabulary() const {
  return offset_ + kByteValues;
}

std::vector<int32_t> ByteTokenizer::encode(std::string_view text) const {
  std::vector<int32_t> tokens;
  tokens.reserve(text.size());
  for (const char byte : text) tokens.push_back(token_of(static_cast<uint8_t>(byte)));
  return tokens;
}

std::string ByteTokenizer::decode(std::span<const int32_t> tokens) const {
  std::string text;
  text.reserve(tokens.size());
  for (const int32_t token : tokens) {
    if (offset_ <= token && token < vocabulary()) text += static_cast<char>(token - offset_);
  }
  return text;
}

std::string ByteTokenizer::description() const {
  return offset_ == 0 ? "bytes" : fmt::format("bytes, {} added", offset_);
}

}  // namespace reformer
