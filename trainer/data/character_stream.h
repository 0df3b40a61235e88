// The characters of a text file as tokens, line breaks and header lines left out: DNA in FASTA
// files, for example. Sequences run on over header lines.
#pragma once

#include <vector>

#include "trainer/data/character_tokenizer.h"
#include "trainer/data/mapped_file.h"
#include "trainer/data/token_stream.h"

namespace reformer {

/// The file stays on the disk; in memory is an index of 8 bytes for every 4096 characters.
class CharacterStream final : public TokenStream {
 public:
  /// Reads through the file once. Throws DataError as MappedFile does, and, with line and column,
  /// where a character is not in the alphabet.
  CharacterStream(const std::string& path, CharacterTokenizer tokenizer);

  int64_t size() const override { return size_; }
  void read(int64_t begin, std::span<int32_t> tokens) const override;
  int64_t vocabulary() const override { return tokenizer_.vocabulary(); }
  const std::string& path() const override { return path_; }

 private:
  std::string path_;
  MappedFile file_;
  CharacterTokenizer tokenizer_;
  int64_t size_ = 0;
  std::vector<size_t> index_;  // where characters 0, 4096, 8192, … are in the file
};

}  // namespace reformer
