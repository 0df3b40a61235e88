// Writes the folder that token_shards.h reads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/checkpoint/durable_file.h"
#include "trainer/data/token_shards.h"

namespace reformer {

/// Writes beside the folder and renames when all is on the disk: the folder is there complete or
/// not at all. Throws DataError; the destructor removes what was not committed.
class TokenShardWriter {
 public:
  struct Args {
    std::string folder;
    std::string tokenizer_model;
    int64_t vocabulary = 0;
    int64_t shard_tokens = int64_t{1} << 28;  // of every shard but the last
  };

  /// Throws DataError when the folder is there already. REQUIRES: vocabulary >= 1.
  explicit TokenShardWriter(Args args);
  ~TokenShardWriter();
  TokenShardWriter(const TokenShardWriter&) = delete;
  TokenShardWriter& operator=(const TokenShardWriter&) = delete;

  /// Appends tokens. REQUIRES: all are in [0, vocabulary).
  void add(std::span<const int32_t> tokens);

  /// Throws DataError when there is no token at all.
  void commit();

  int64_t tokens() const { return tokens_; }

 private:
  void begin_shard();
  void write_block();
  void end_shard(bool is_last);

  Args args_;
  std::string temporary_;
  uint32_t token_bytes_;
  size_t shards_ = 0;
  std::unique_ptr<DurableFile> file_;
  std::vector<uint8_t> block_;  // not written yet
  std::vector<uint32_t> checksums_;
  int64_t shard_tokens_ = 0;
  int64_t tokens_ = 0;
  bool committed_ = false;
};

}  // namespace reformer
