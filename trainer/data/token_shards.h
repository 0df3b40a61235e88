// Tokens in files, as `reformer tokenize` writes them: a folder with the tokenizer's model and one
// shard after the other.
//
//   FOLDER/tokenizer.model    the model, as sentencepiece wrote it
//          tokens-00000.bin   a shard: ShardHeader, tokens, one CRC32C for each block of tokens
//          tokens-00001.bin   …
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "trainer/data/mapped_file.h"
#include "trainer/data/token_stream.h"

namespace reformer {

inline constexpr uint32_t kShardVersion = 1;
inline constexpr char kShardMagic[8] = {'R', 'E', 'F', 'T', 'O', 'K', 'E', 'N'};
/// Bytes of one checksum.
inline constexpr size_t kShardBlock = size_t{1} << 20;

/// Little-endian. Tokens follow, as unsigned numbers of `token_bytes` bytes, then the checksums.
struct ShardHeader {
  char magic[8];
  uint32_t version;      // from here on, each version may have a layout of its own
  uint32_t token_bytes;  // 2 for vocabularies up to 65,536, else 4
  uint64_t vocabulary;
  uint64_t tokens;
  uint32_t tokenizer_crc;  // CRC32C of the model
  uint32_t checksums_crc;  // CRC32C of the checksums
  uint32_t is_last;        // 1 for the last shard, else 0
  uint32_t header_crc;     // CRC32C of everything before
};
static_assert(sizeof(ShardHeader) == 48);

/// "FOLDER/tokenizer.model".
std::string tokenizer_model_path(const std::string& folder);
/// "FOLDER/tokens-00003.bin".
std::string shard_path(const std::string& folder, size_t shard);

/// Content of tokenizer_model_path(folder). Throws DataError.
std::string read_tokenizer_model(const std::string& folder);

/// One shard as memory.
class TokenShard {
 public:
  /// Throws DataError, naming the file, when it is no shard, of a newer version, cut short, or has
  /// a damaged header.
  explicit TokenShard(const std::string& path);

  const ShardHeader& header() const { return header_; }
  int64_t size() const { return static_cast<int64_t>(header_.tokens); }

  /// Tokens [begin, begin + tokens.size()). Each block is verified when it is read for the first
  /// time: throws DataError where it is damaged. REQUIRES: they are there.
  void read(int64_t begin, std::span<int32_t> tokens) const;

 private:
  void require(bool sound, const std::string& reason) const;
  void verify_block(size_t block) const;
  /// The tokens from byte `offset` of the data on, as they are.
  void convert(size_t offset, std::span<int32_t> tokens) const;
  const uint8_t* data() const { return file_.bytes().data() + sizeof(ShardHeader); }
  size_t data_bytes() const { return header_.tokens * header_.token_bytes; }

  std::string path_;
  MappedFile file_;
  ShardHeader header_{};
  std::unique_ptr<std::atomic<bool>[]> verified_;  // blocks found sound
};

/// All shards of a folder as one stream.
class TokenShards final : public TokenStream {
 public:
  /// Throws DataError when there is no shard, when one is damaged or missing before the last, or
  /// when they are not all of the tokenizer that lies beside them.
  explicit TokenShards(const std::string& folder);

  int64_t size() const override { return ends_.back(); }
  void read(int64_t begin, std::span<int32_t> tokens) const override;
  int64_t vocabulary() const override;
  const std::string& path() const override { return folder_; }

 private:
  std::string folder_;
  std::vector<std::unique_ptr<TokenShard>> shards_;
  std::vector<int64_t> ends_;  // first token after each shard
};

}  // namespace reformer
