#include "trainer/data/record_tokenizer.h"

namespace reformer {

std::vector<int32_t> RecordTokenizer::encode(std::string_view text) const {
  std::vector<int32_t> tokens = bytes_.encode(text);
  tokens.insert(tokens.begin(), kRecordStart);
  return tokens;
}

std::string RecordTokenizer::decode(std::span<const int32_t> tokens) const {
  return tokens.empty() ? "" : bytes_.decode(tokens.subspan(1));
}

std::string RecordTokenizer::description() const {
  return "records of " + bytes_.description();
}

}  // namespace reformer
