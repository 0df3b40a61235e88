// Records as RecordDataset gives them: the start of a sequence, then bytes.
#pragma once

#include "trainer/data/byte_tokenizer.h"

namespace reformer {

/// What a sequence of records begins with, where there is nothing yet to predict from.
inline constexpr int32_t kRecordStart = 0;

/// encode puts kRecordStart before the bytes, so that a model can begin with an empty text; decode
/// takes the first token for it, whatever it is.
class RecordTokenizer final : public Tokenizer {
 public:
  explicit RecordTokenizer(const ByteTokenizer& bytes) : bytes_(bytes) {}

  int64_t vocabulary() const override { return bytes_.vocabulary(); }
  std::vector<int32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const int32_t> tokens) const override;
  std::string description() const override;

 private:
  ByteTokenizer bytes_;
};

}  // namespace reformer
