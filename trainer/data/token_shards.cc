#include "trainer/data/token_shards.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/checkpoint/durable_file.h"

namespace reformer {
namespace {

size_t block_count(size_t bytes) {
  return (bytes + kShardBlock - 1) / kShardBlock;
}

template <typename Token>
void widen(const uint8_t* from, std::span<int32_t> tokens) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    Token token;
    std::memcpy(&token, from + i * sizeof(Token), sizeof(Token));
    tokens[i] = static_cast<int32_t>(token);
  }
}

}  // namespace

std::string tokenizer_model_path(const std::string& folder) {
  return folder + "/tokenizer.model";
}

std::string shard_path(const std::string& folder, size_t shard) {
  return fmt::format("{}/tokens-{:05d}.bin", folder, shard);
}

std::string read_tokenizer_model(const std::string& folder) {
  const MappedFile file(tokenizer_model_path(folder));
  return {file.bytes().begin(), file.bytes().end()};
}

TokenShard::TokenShard(const std::string& path) : path_(path), file_(path) {
  const size_t size = file_.bytes().size();
  require(size >= sizeof(header_), "is no shard of tokens");
  std::memcpy(&header_, file_.bytes().data(), sizeof(header_));
  require(std::memcmp(header_.magic, kShardMagic, sizeof(kShardMagic)) == 0,
          "is no shard of tokens");
  // The version says where the checksum is, so it comes first.
  require(header_.version <= kShardVersion,
          fmt::format("has format version {}, newer than this program's {}", header_.version,
                      kShardVersion));
  require(header_.header_crc == crc32c(&header_, offsetof(ShardHeader, header_crc)),
          "the header is damaged");
  require(header_.token_bytes == 2 || header_.token_bytes == 4,
          fmt::format("has tokens of {} bytes", header_.token_bytes));
  // Divided, since a product might not fit.
  require(header_.tokens <= (size - sizeof(header_)) / header_.token_bytes, "is cut short");
  const size_t blocks = block_count(data_bytes());
  const size_t expected = sizeof(header_) + data_bytes() + blocks * sizeof(uint32_t);
  require(size == expected, fmt::format("has {} bytes, and its header says {}", size, expected));
  require(crc32c(data() + data_bytes(), blocks * sizeof(uint32_t)) == header_.checksums_crc,
          "the checksums are damaged");
  verified_ = std::make_unique<std::atomic<bool>[]>(blocks);
}

void TokenShard::read(int64_t begin, std::span<int32_t> tokens) const {
  if (tokens.empty()) return;
  const size_t first = static_cast<size_t>(begin) * header_.token_bytes;
  const size_t last = first + tokens.size() * header_.token_bytes - 1;
  for (size_t block = first / kShardBlock; block <= last / kShardBlock; ++block) {
    if (!verified_[block].load(std::memory_order_relaxed)) verify_block(block);
  }
  convert(first, tokens);
}

void TokenShard::convert(size_t offset, std::span<int32_t> tokens) const {
  if (header_.token_bytes == 2) {
    widen<uint16_t>(data() + offset, tokens);
  } else {
    widen<uint32_t>(data() + offset, tokens);
  }
}

void TokenShard::verify_block(size_t block) const {
  const size_t begin = block * kShardBlock;
  const size_t bytes = std::min(kShardBlock, data_bytes() - begin);
  uint32_t crc = 0;
  std::memcpy(&crc, data() + data_bytes() + block * sizeof(crc), sizeof(crc));
  require(crc == crc32c(data() + begin, bytes), fmt::format("block {} is damaged", block));
  std::vector<int32_t> tokens(bytes / header_.token_bytes);
  convert(begin, tokens);
  const auto largest = static_cast<uint32_t>(*std::max_element(
      tokens.begin(), tokens.end(),
      [](int32_t a, int32_t b) { return static_cast<uint32_t>(a) < static_cast<uint32_t>(b); }));
  require(largest < header_.vocabulary,
          fmt::format("block {} has token {}, beyond its vocabulary of {}", block, largest,
                      header_.vocabulary));
  // Two threads may both verify it, and both find the same.
  verified_[block].store(true, std::memory_order_relaxed);
}

void TokenShard::require(bool sound, const std::string& reason) const {
  if (!sound) throw DataError(fmt::format("{}: {}", path_, reason));
}

TokenShards::TokenShards(const std::string& folder) : folder_(folder) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    throw DataError(fmt::format("{}: is no folder that reformer tokenize wrote", folder));
  }
  const std::string model = read_tokenizer_model(folder);
  const uint32_t model_crc = crc32c(model.data(), model.size());
  int64_t end = 0;
  do {
    const std::string path = shard_path(folder, shards_.size());
    shards_.push_back(std::make_unique<TokenShard>(path));
    const ShardHeader& header = shards_.back()->header();
    if (header.tokenizer_crc != model_crc || header.vocabulary != shards_[0]->header().vocabulary) {
      throw DataError(
          fmt::format("{}: was not written with the tokenizer that lies beside it", path));
    }
    end += shards_.back()->size();
    ends_.push_back(end);
  } while (shards_.back()->header().is_last == 0);
}

int64_t TokenShards::vocabulary() const {
  return static_cast<int64_t>(shards_[0]->header().vocabulary);
}

void TokenShards::read(int64_t begin, std::span<int32_t> tokens) const {
  auto shard =
      static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), begin) - ends_.begin());
  while (!tokens.empty()) {
    const int64_t first = begin - (shard == 0 ? 0 : ends_[shard - 1]);
    const auto count = std::min(tokens.size(), static_cast<size_t>(shards_[shard]->size() - first));
    shards_[shard]->read(first, tokens.first(count));
    tokens = tokens.subspan(count);
    begin += static_cast<int64_t>(count);
    ++shard;
  }
}

}  // namespace reformer
