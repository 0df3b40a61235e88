// Folders of shards appear complete or not at all, and have the format that is written down.
#include "trainer/data/token_shard_writer.h"

#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/token_shards_testing.h"

namespace reformer {
namespace {

using testing::names_in;
using testing::read_file;
using testing::some_tokens;
using testing::TemporaryDirectory;
using testing::write_shards;

std::string data_error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST(TokenShardWriterTest, TheFormatIsFixed) {
  const TemporaryDirectory directory;
  const std::string folder = directory.path() + "/out";
  write_shards(folder, {1, 258, 65535}, 65536, 100, "123456789");
  const std::string bytes = read_file(folder + "/tokens-00000.bin");
  ASSERT_EQ(bytes.size(), 48u + 6 + 4);
  EXPECT_EQ(bytes.substr(0, 8), "REFTOKEN");
  EXPECT_EQ(bytes.substr(8, 24),
            std::string("\1\0\0\0\2\0\0\0\0\0\1\0\0\0\0\0\3\0\0\0\0\0\0\0", 24))
      << "version, bytes of a token, vocabulary, tokens";
  EXPECT_EQ(bytes.substr(32, 4), "\x83\x92\x06\xe3") << "CRC32C of 123456789, the standard's check";
  EXPECT_EQ(bytes.substr(40, 4), std::string("\1\0\0\0", 4)) << "the last shard";
  EXPECT_EQ(bytes.substr(48, 6), std::string("\1\0\2\1\xff\xff", 6));
  EXPECT_EQ(read_file(folder + "/tokenizer.model"), "123456789");
}

TEST(TokenShardWriterTest, LargeVocabulariesTakeFourBytes) {
  const TemporaryDirectory directory;
  write_shards(directory.path() + "/out", {65536}, 65537);
  const std::string bytes = read_file(directory.path() + "/out/tokens-00000.bin");
  EXPECT_EQ(bytes.substr(48, 4), std::string("\0\0\1\0", 4));
}

TEST(TokenShardWriterTest, ShardsAreFilledOneAfterTheOther) {
  const TemporaryDirectory directory;
  const std::string folder = directory.path() + "/out/";
  TokenShardWriter writer(
      {.folder = folder, .tokenizer_model = "m", .vocabulary = 10, .shard_tokens = 4});
  for (int i = 0; i < 3; ++i) writer.add(std::vector<int32_t>{1, 2, 3});
  EXPECT_EQ(writer.tokens(), 9);
  EXPECT_FALSE(std::filesystem::exists(folder));
  writer.commit();
  EXPECT_EQ(names_in(folder), (std::vector<std::string>{"tokenizer.model", "tokens-00000.bin",
                                                        "tokens-00001.bin", "tokens-00002.bin"}));
  EXPECT_EQ(names_in(directory.path()), std::vector<std::string>{"out"});
  EXPECT_EQ(read_file(folder + "/tokens-00001.bin").substr(48, 8),
            std::string("\2\0\3\0\1\0\2\0", 8));
  EXPECT_EQ(read_file(folder + "/tokens-00001.bin")[40], 0);
  EXPECT_EQ(read_file(folder + "/tokens-00002.bin")[40], 1);
}

TEST(TokenShardWriterTest, WhatIsNotCommittedLeavesNothing) {
  const TemporaryDirectory directory;
  {
    TokenShardWriter writer(
        {.folder = directory.path() + "/out", .tokenizer_model = "m", .vocabulary = 10});
    writer.add(std::vector<int32_t>(100, 1));
    EXPECT_EQ(names_in(directory.path()).size(), 1u) << "beside the folder";
  }
  EXPECT_TRUE(names_in(directory.path()).empty());
}

TEST(TokenShardWriterTest, AFolderThatIsThereIsLeftAlone) {
  const TemporaryDirectory directory;
  const std::string folder = directory.path() + "/out";
  write_shards(folder, {1}, 2);
  EXPECT_EQ(data_error_of([&] { write_shards(folder, {1}, 2); }),
            folder + ": is there already; remove it or name another");
  std::filesystem::create_symlink("nowhere", directory.path() + "/link");
  EXPECT_NE(data_error_of([&] { write_shards(directory.path() + "/link", {1}, 2); }), "");
}

TEST(TokenShardWriterTest, FaultsAreSaidByName) {
  const TemporaryDirectory directory;
  EXPECT_EQ(data_error_of([&] { write_shards(directory.path() + "/out", {}, 2); }),
            directory.path() + "/out: there is no token to write");
  EXPECT_TRUE(names_in(directory.path()).empty());
  testing::expect_contains(data_error_of([&] { write_shards("/nowhere/out", {1}, 2); }),
                           "cannot create /nowhere/out.partial-");
}

}  // namespace
}  // namespace reformer
