#include "trainer/data/token_shard_writer.h"

#include <cstring>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLargestShortVocabulary = int64_t{1} << 16;

void throw_data_fault(const std::string& what) {
  throw DataError(what);
}

/// The folder that holds `path`, and where it gets its name.
std::string parent_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

TokenShardWriter::TokenShardWriter(Args args)
    : args_(std::move(args)), token_bytes_(args_.vocabulary <= kLargestShortVocabulary ? 2 : 4) {
  CHECK_GE(args_.vocabulary, 1);
  CHECK_GE(args_.shard_tokens, 1);
  args_.folder = without_slash(args_.folder);
  std::error_code error;
  if (fs::exists(fs::symlink_status(args_.folder, error))) {
    throw DataError(fmt::format("{}: is there already; remove it or name another", args_.folder));
  }
  temporary_ = fmt::format("{}.partial-{}", args_.folder, getpid());
  fs::create_directory(temporary_, error);
  if (error) throw DataError(fmt::format("cannot create {}: {}", temporary_, error.message()));
  try {
    DurableFile model(tokenizer_model_path(temporary_), throw_data_fault);
    model.write(args_.tokenizer_model.data(), args_.tokenizer_model.size());
    model.close();
    begin_shard();
  } catch (const DataError&) {
    fs::remove_all(temporary_, error);
    throw;
  }
}

TokenShardWriter::~TokenShardWriter() {
  if (committed_) return;
  file_.reset();
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void TokenShardWriter::add(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    CHECK(0 <= token && token < args_.vocabulary);
    if (shard_tokens_ == args_.shard_tokens) {
      end_shard(/*is_last=*/false);
      begin_shard();
    }
    const size_t at = block_.size();
    block_.resize(at + token_bytes_);
    std::memcpy(block_.data() + at, &token, token_bytes_);  // the low bytes come first
    if (block_.size() == kShardBlock) write_block();
    ++shard_tokens_;
    ++tokens_;
  }
}

void TokenShardWriter::commit() {
  if (tokens_ == 0) throw DataError(fmt::format("{}: there is no token to write", args_.folder));
  end_shard(/*is_last=*/true);
  sync_directory(temporary_, throw_data_fault);
  std::error_code error;
  fs::rename(temporary_, args_.folder, error);
  if (error) {
    throw DataError(
        fmt::format("cannot rename {} to {}: {}", temporary_, args_.folder, error.message()));
  }
  committed_ = true;
  sync_directory(parent_of(args_.folder), throw_data_fault);
}

void TokenShardWriter::begin_shard() {
  file_ = std::make_unique<DurableFile>(shard_path(temporary_, shards_++), throw_data_fault);
  shard_tokens_ = 0;
  checksums_.clear();
  const ShardHeader header{};  // written anew at the end, when it is known
  file_->write(&header, sizeof(header));
}

void TokenShardWriter::write_block() {
  if (block_.empty()) return;
  // From memory, before the write: what the disk makes of it is found at reading.
  checksums_.push_back(crc32c(block_.data(), block_.size()));
  file_->write(block_.data(), block_.size());
  block_.clear();
}

void TokenShardWriter::end_shard(bool is_last) {
  write_block();
  const size_t bytes = checksums_.size() * sizeof(uint32_t);
  file_->write(checksums_.data(), bytes);
  ShardHeader header{};
  std::memcpy(header.magic, kShardMagic, sizeof(kShardMagic));
  header.version = kShardVersion;
  header.token_bytes = token_bytes_;
  header.vocabulary = static_cast<uint64_t>(args_.vocabulary);
  header.tokens = static_cast<uint64_t>(shard_tokens_);
  header.tokenizer_crc = crc32c(args_.tokenizer_model.data(), args_.tokenizer_model.size());
  header.checksums_crc = crc32c(checksums_.data(), bytes);
  header.is_last = is_last ? 1 : 0;
  header.header_crc = crc32c(&header, offsetof(ShardHeader, header_crc));
  file_->overwrite(0, &header, sizeof(header));
  file_->close();
}

}  // namespace reformer
