// Text as it grows, token by token, up to the first stop sequence.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trainer/data/tokenizer.h"

namespace reformer {

class TextStream {
 public:
  /// Continues the text of `prompt`. Empty stop sequences are ignored. `tokenizer` must outlive the
  /// stream.
  TextStream(const Tokenizer& tokenizer, std::span<const int32_t> prompt,
             const std::vector<std::string>& stop);

  /// Adds a token and returns the text that is certain by now and was not returned before: what may
  /// be the beginning of a stop sequence is held back. REQUIRES: !stopped().
  std::string add(int32_t token);

  /// The text has come to a stop sequence, which is no part of it.
  bool stopped() const { return stopped_; }

  /// What was held back, when no more tokens will come.
  std::string finish();

 private:
  std::string text_of(int32_t token);
  size_t held_back() const;

  const Tokenizer& tokenizer_;
  std::vector<std::string> stop_;
  std::vector<int32_t> recent_;  // the last few tokens
  std::string pending_;          // text not returned yet
  bool stopped_ = false;
};

}  // namespace reformer
