#include "trainer/data/byte_stream.h"

#include <algorithm>

namespace reformer {

ByteStream::ByteStream(const std::string& path, const ByteTokenizer& tokenizer)
    : path_(path), file_(path), tokenizer_(tokenizer) {}

void ByteStream::read(int64_t begin, std::span<int32_t> tokens) const {
  const auto bytes = file_.bytes().subspan(static_cast<size_t>(begin), tokens.size());
  std::transform(bytes.begin(), bytes.end(), tokens.begin(),
                 [this](uint8_t byte) { return tokenizer_.token_of(byte); });
}

}  // namespace reformer
