// Reading shards: any stretch is what was written, and damage is found before it is used.
#include "trainer/data/token_shards.h"

#include <cstring>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/token_shards_testing.h"
#include "trainer/checkpoint/durable_file.h"

namespace reformer {
namespace {

using testing::flip_bit;
using testing::read_file;
using testing::some_tokens;
using testing::TemporaryDirectory;
using testing::write_file;
using testing::write_shards;

class TokenShardsTest : public ::testing::Test {
 protected:
  std::string folder() const { return directory_.path() + "/tokens"; }
  std::string shard(size_t index) const { return shard_path(folder(), index); }

  /// The message with which reading everything ends; empty if it is read.
  std::string error_of() const {
    try {
      const TokenShards shards(folder());
      std::vector<int32_t> tokens(static_cast<size_t>(shards.size()));
      shards.read(0, tokens);
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  }

  /// Changes the header of shard 0 and its checksum.
  void change_header(const std::function<void(ShardHeader&)>& change) const {
    std::string bytes = read_file(shard(0));
    ShardHeader header{};
    std::memcpy(&header, bytes.data(), sizeof(header));
    change(header);
    header.header_crc = crc32c(&header, offsetof(ShardHeader, header_crc));
    std::memcpy(bytes.data(), &header, sizeof(header));
    write_file(shard(0), bytes);
  }

  TemporaryDirectory directory_;
};

TEST_F(TokenShardsTest, AnyStretchIsWhatWasWritten) {
  for (const int64_t vocabulary : {10, 65536, 65537, 1 << 24}) {
    for (const int64_t shard_tokens : {300, 1000, 5000}) {
      const std::vector<int32_t> all = some_tokens(1000, vocabulary);
      std::filesystem::remove_all(folder());
      write_shards(folder(), all, vocabulary, shard_tokens);
      const TokenShards shards(folder());
      ASSERT_EQ(shards.size(), 1000);
      EXPECT_EQ(shards.vocabulary(), vocabulary);
      EXPECT_EQ(shards.path(), folder());
      for (const size_t begin : {0u, 1u, 299u, 300u, 301u, 599u, 999u, 1000u}) {
        for (const size_t count : {0u, 1u, 2u, 299u, 300u, 301u, 700u, 1000u}) {
          if (begin + count > 1000) continue;
          std::vector<int32_t> tokens(count, -9);
          shards.read(static_cast<int64_t>(begin), tokens);
          EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(),
                                 all.begin() + static_cast<ptrdiff_t>(begin)));
        }
      }
    }
  }
}

TEST_F(TokenShardsTest, BlocksAreVerifiedWhenTheyAreReadFirst) {
  constexpr size_t kTokensOfBlock = kShardBlock / 2;
  const std::vector<int32_t> all = some_tokens(2 * kTokensOfBlock + 10, 500);
  write_shards(folder(), all, 500);
  flip_bit(shard(0), 8 * (sizeof(ShardHeader) + kShardBlock + 5));
  const TokenShards shards(folder());
  std::vector<int32_t> tokens(kTokensOfBlock);
  EXPECT_NO_THROW(shards.read(0, tokens)) << "block 0 is sound";
  EXPECT_NO_THROW(shards.read(2 * kTokensOfBlock, std::span(tokens).first(10)));
  for (int again = 0; again < 2; ++again) {
    EXPECT_THROW(shards.read(kTokensOfBlock, std::span(tokens).first(1)), DataError);
    EXPECT_THROW(shards.read(10, tokens), DataError) << "the last tokens are of block 1";
  }
  EXPECT_EQ(error_of(), shard(0) + ": block 1 is damaged");
}

TEST_F(TokenShardsTest, ThreadsMayReadTheSameBlock) {
  const std::vector<int32_t> all = some_tokens(5000, 500);
  write_shards(folder(), all, 500, 1000);
  const TokenShards shards(folder());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      std::vector<int32_t> tokens(5000);
      shards.read(0, tokens);
      EXPECT_EQ(tokens, all);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(TokenShardsTest, NoBitMayChange) {
  write_shards(folder(), some_tokens(50, 500), 500);
  const std::string sound = read_file(shard(0));
  for (size_t bit = 0; bit < 8 * sound.size(); ++bit) {
    flip_bit(shard(0), bit);
    EXPECT_TRUE(error_of().starts_with(shard(0) + ": ")) << "bit " << bit;
    write_file(shard(0), sound);
  }
  EXPECT_EQ(error_of(), "");
}

TEST_F(TokenShardsTest, NoByteMayBeMissingOrTooMany) {
  write_shards(folder(), some_tokens(50, 500), 500);
  const std::string sound = read_file(shard(0));
  for (size_t size = 0; size < sound.size(); ++size) {
    write_file(shard(0), sound.substr(0, size));
    EXPECT_TRUE(error_of().starts_with(shard(0) + ": ")) << size << " bytes";
  }
  write_file(shard(0), sound + "x");
  EXPECT_EQ(error_of(), shard(0) + ": has 153 bytes, and its header says 152");
  write_file(shard(0), sound.substr(0, 100));
  EXPECT_EQ(error_of(), shard(0) + ": is cut short");
  write_file(shard(0), "words");
  EXPECT_EQ(error_of(), shard(0) + ": is no shard of tokens");
}

TEST_F(TokenShardsTest, HeadersThatLieAreRefused) {
  write_shards(folder(), some_tokens(50, 500), 500);
  const std::string sound = read_file(shard(0));
  const auto error_with = [&](const std::function<void(ShardHeader&)>& change) {
    write_file(shard(0), sound);
    change_header(change);
    return error_of();
  };
  EXPECT_EQ(error_with([](ShardHeader& header) { header.version = 2; }),
            shard(0) + ": has format version 2, newer than this program's 1");
  EXPECT_EQ(error_with([](ShardHeader& header) { header.token_bytes = 3; }),
            shard(0) + ": has tokens of 3 bytes");
  EXPECT_EQ(error_with([](ShardHeader& header) { header.tokens = UINT64_MAX / 2; }),
            shard(0) + ": is cut short");
  EXPECT_EQ(error_with([](ShardHeader& header) { header.vocabulary = 400; }).substr(0, 60),
            (shard(0) + ": block 0 has token ").substr(0, 60));
  EXPECT_EQ(error_with([](ShardHeader& header) { header.is_last = 0; }),
            shard(1) + ": No such file or directory");
  EXPECT_EQ(error_with([](ShardHeader& header) { header.is_last = 1; }), "");
}

TEST_F(TokenShardsTest, ANewerLayoutIsNamedAsSuch) {
  write_shards(folder(), some_tokens(50, 500), 500);
  std::string bytes = read_file(shard(0));
  const uint32_t version = 7;
  std::memcpy(bytes.data() + offsetof(ShardHeader, version), &version, sizeof(version));
  bytes.replace(offsetof(ShardHeader, token_bytes), 30, std::string(30, 'x'));
  write_file(shard(0), bytes);
  EXPECT_EQ(error_of(), shard(0) + ": has format version 7, newer than this program's 1");
}

TEST_F(TokenShardsTest, EveryShardMustBeThereAndOfTheSameTokenizer) {
  write_shards(folder(), some_tokens(50, 500), 500, 20);
  EXPECT_EQ(error_of(), "");
  for (size_t missing : {0u, 1u, 2u}) {
    std::filesystem::rename(shard(missing), directory_.path() + "/away");
    EXPECT_EQ(error_of(), shard(missing) + ": No such file or directory");
    std::filesystem::rename(directory_.path() + "/away", shard(missing));
  }
  const std::string others = directory_.path() + "/others";
  write_shards(others, some_tokens(50, 500), 500, 20, "another model");
  std::filesystem::copy_file(shard_path(others, 1), shard(1),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(error_of(), shard(1) + ": was not written with the tokenizer that lies beside it");
  write_file(tokenizer_model_path(folder()), "changed");
  EXPECT_EQ(error_of(), shard(0) + ": was not written with the tokenizer that lies beside it");
  std::filesystem::remove(tokenizer_model_path(folder()));
  EXPECT_EQ(error_of(), folder() + "/tokenizer.model: No such file or directory");
}

TEST_F(TokenShardsTest, WhatIsNoFolderIsRefused) {
  const std::string words = ": is no folder that reformer tokenize wrote";
  EXPECT_EQ(error_of(), folder() + words);
  write_file(folder(), "text");
  EXPECT_EQ(error_of(), folder() + words);
}

}  // namespace
}  // namespace reformer
