// Between text and tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "configs/run.pb.h"

namespace reformer {

/// Thread-safe: all members are const.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Tokens are in [0, vocabulary).
  virtual int64_t vocabulary() const = 0;

  /// Tokens of a sequence that begins with `text`. Throws DataError, with the place, where the text
  /// has something that no token stands for.
  virtual std::vector<int32_t> encode(std::string_view text) const = 0;

  /// The text of the first tokens of a sequence, as bytes, which may end inside a UTF-8 character.
  /// Tokens that stand for no text give nothing, as do numbers outside the vocabulary. It is the
  /// start of the text of more of them, so it can be shown as it grows; but the text of tokens from
  /// further on may lack what is dropped from a start: a space, or the whole first token.
  virtual std::string decode(std::span<const int32_t> tokens) const = 0;

  /// What it is, in words, for the log.
  virtual std::string description() const = 0;
};

/// The model that the tokenizer of the data that `run` asks for is made of, as a file has it; empty
/// where the configuration says it all. Throws DataError when it cannot be read.
std::string tokenizer_model_of(const config::Run& run);

/// What the tokens of these data mean, as the settings that decide it, with their values: equal
/// where a model may go on from the one data to the other. `model` as for make_tokenizer.
std::string token_meaning(const config::Run& run, const std::string& model);

/// The tokenizer of the data that `run` asks for; `model` is what tokenizer_model_of gave, then or
/// when a checkpoint was written. Throws ConfigError if these data have no text, DataError if
/// `model` is none.
std::unique_ptr<Tokenizer> make_tokenizer(const config::Run& run, const std::string& model);

}  // namespace reformer
