// The bytes of a file as tokens: any file, no tokenizer.
#pragma once

#include "trainer/data/byte_tokenizer.h"
#include "trainer/data/mapped_file.h"
#include "trainer/data/token_stream.h"

namespace reformer {

class ByteStream final : public TokenStream {
 public:
  /// Throws DataError as MappedFile does.
  ByteStream(const std::string& path, const ByteTokenizer& tokenizer);

  int64_t size() const override { return static_cast<int64_t>(file_.bytes().size()); }
  void read(int64_t begin, std::span<int32_t> tokens) const override;
  int64_t vocabulary() const override { return tokenizer_.vocabulary(); }
  const std::string& path() const override { return path_; }

 private:
  std::string path_;
  MappedFile file_;
  ByteTokenizer tokenizer_;
};

}  // namespace reformer
