// Characters of a small alphabet as tokens, such as the bases of DNA.
#pragma once

#include <array>
#include <optional>

#include "trainer/data/tokenizer.h"

namespace reformer {

/// What becomes of one byte of a text, which may depend on the byte before.
class CharacterTokenizer final : public Tokenizer {
 public:
  /// The token of character i of `alphabet` is i. With `fold_case`, letters of the other case count
  /// as the alphabet's. Line breaks are skipped, and so are lines that begin with `header_mark`,
  /// which is one character, or empty for none. REQUIRES: is_alphabet(alphabet, …).
  CharacterTokenizer(std::string alphabet, bool fold_case, const std::string& header_mark);
  /// That of data.alphabet, data.fold_case and data.header_mark.
  explicit CharacterTokenizer(const config::Data& data);

  /// Walks through a text, byte by byte.
  class Scanner {
   public:
    explicit Scanner(const CharacterTokenizer& tokenizer) : tokenizer_(&tokenizer) {}
    /// The token of the next byte; kSkipped for none, kUnknown for one that should not be there.
    int32_t next(uint8_t byte);

    static constexpr int32_t kSkipped = -1;
    static constexpr int32_t kUnknown = -2;

   private:
    const CharacterTokenizer* tokenizer_;
    bool at_line_start_ = true;
    bool in_header_ = false;
  };

  /// "line 3, column 7: 'x' is not in data.alphabet "ACGT"" of the byte at `position` of `text`.
  std::string complaint_about(std::string_view text, size_t position) const;

  int64_t vocabulary() const override { return static_cast<int64_t>(alphabet_.size()); }
  std::vector<int32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const int32_t> tokens) const override;
  std::string description() const override;

 private:
  std::string alphabet_;
  bool fold_case_;
  std::optional<uint8_t> header_mark_;
  std::array<int32_t, 256> token_of_byte_;  // a token, kSkipped or kUnknown
};

}  // namespace reformer
