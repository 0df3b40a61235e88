// Text files into shards of tokens, in memory that does not grow with them.
#pragma once

#include <atomic>
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

struct TokenizeOptions {
  int threads = 1;                          // that encode; the tokens are the same with any number
  const std::atomic<bool>* stop = nullptr;  // when it becomes true, no more is read
};

/// Appends the tokens of the file `path`, which may be a pipe, and adds up what it was. False when
/// it was told to stop. Throws DataError when it cannot be read or written.
bool tokenize_file(const std::string& path, const SentencePieceTokenizer& tokenizer,
                   const TokenizeOptions& options, TokenShardWriter& writer,
                   TokenizeTotals& totals);

}  // namespace reformer
