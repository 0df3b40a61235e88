// Bytes as tokens.
#pragma once

#include "trainer/data/tokenizer.h"

namespace reformer {

/// The token of byte b is b + offset; tokens below the offset stand for no text.
class ByteTokenizer final : public Tokenizer {
 public:
  /// REQUIRES: offset >= 0, and all tokens fit an Int32.
  explicit ByteTokenizer(int64_t offset = 0);

  int32_t token_of(uint8_t byte) const { return offset_ + byte; }

  int64_t vocabulary() const override;
  std::vector<int32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const int32_t> tokens) const override;
  std::string description() const override;

 private:
  int32_t offset_;
};

}  // namespace reformer
