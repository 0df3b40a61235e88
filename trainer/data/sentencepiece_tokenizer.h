// Models of the sentencepiece library as tokenizers.
#pragma once

#include <memory>
#include <optional>

#include "trainer/data/tokenizer.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace reformer {

/// Each line of a text is encoded on its own. A line break becomes the piece "\n" or the byte piece
/// <0x0A> if the model has one; else it separates words as a space does, and is a space when it
/// comes back. Otherwise decoding gives the text as the model normalizes it; what the model does
/// not know comes back as " ⁇ ".
class SentencePieceTokenizer final : public Tokenizer {
 public:
  /// `model` is the content of a model file; `path` names it in messages. Throws DataError when it
  /// is none.
  SentencePieceTokenizer(std::string_view model, const std::string& path);
  ~SentencePieceTokenizer() override;

  /// Whether line breaks come back.
  bool keeps_line_breaks() const { return line_break_.has_value(); }
  /// The token of what the model does not know.
  int32_t unknown() const { return unknown_; }

  /// Bytes of the start of `text` whose tokens are the same whatever follows: encode gives those of
  /// this part, then those of the rest. All lines that are over, and of the last one as much as
  /// leaves at most 16 KiB.
  static size_t complete_part(std::string_view text);

  int64_t vocabulary() const override { return static_cast<int64_t>(texts_.size()); }
  std::vector<int32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const int32_t> tokens) const override;
  std::string description() const override;

 private:
  void encode_line(std::string_view line, std::vector<int32_t>& tokens) const;

  std::string path_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  std::vector<std::string> texts_;  // of each token
  int32_t unknown_ = 0;
  std::optional<int32_t> line_break_;
  bool adds_space_ = false;  // before the first word of a line
};

}  // namespace reformer
