// Folders of shards for tests.
#pragma once

#include <string>
#include <vector>

#include "trainer/data/token_shard_writer.h"

namespace reformer::testing {

/// `count` tokens below `vocabulary`, without a period.
inline std::vector<int32_t> some_tokens(size_t count, int64_t vocabulary) {
  std::vector<int32_t> tokens(count);
  uint64_t state = 9;
  for (int32_t& token : tokens) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    token = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocabulary));
  }
  return tokens;
}

inline void write_shards(const std::string& folder, const std::vector<int32_t>& tokens,
                         int64_t vocabulary, int64_t shard_tokens = int64_t{1} << 28,
                         const std::string& model = "a model") {
  TokenShardWriter writer({.folder = folder,
                           .tokenizer_model = model,
                           .vocabulary = vocabulary,
                           .shard_tokens = shard_tokens});
  writer.add(tokens);
  writer.commit();
}

}  // namespace reformer::testing
