// Text files into shards of tokens, in memory that does not grow with them.
#pragma once

#include <cstdint>
#include <string>

#include "trainer/data/sentencepiece_tokenizer.h"
#include "trainer/data/token_shard_writer.h"

namespace reformer {

struct TokenizeTotals {
  int64_t bytes = 0;
  int64_t tokens = 0;
  int64_t unknown = 0;  // of the tokens: the model does not know what stood there
};

/// Appends the tokens of the file `path`, which may be a pipe, and adds up what it was. Throws
/// DataError when it cannot be read or written.
void tokenize_file(const std::string& path, const SentencePieceTokenizer& tokenizer,
                   TokenShardWriter& writer, TokenizeTotals& totals);

}  // namespace reformer
