// Text files of any size into shards: the tokens are those of the whole text.
#include "trainer/data/tokenize_file.h"

#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/sentencepiece_testing.h"

namespace reformer {
namespace {

using testing::model_with_bytes;
using testing::read_file;
using testing::TemporaryDirectory;
using testing::write_file;

class TokenizeFileTest : public ::testing::Test {
 protected:
  /// Writes the tokens of `paths` and reads them back.
  std::vector<int32_t> tokens_of(const std::vector<std::string>& paths) {
    const std::string folder = directory_.path() + "/out";
    std::filesystem::remove_all(folder);
    TokenShardWriter writer({.folder = folder,
                             .tokenizer_model = model_with_bytes(),
                             .vocabulary = tokenizer_.vocabulary()});
    totals_ = {};
    for (const std::string& path : paths)
      EXPECT_TRUE(tokenize_file(path, tokenizer_, options_, writer, totals_));
    writer.commit();
    const TokenShards shards(folder);
    std::vector<int32_t> tokens(static_cast<size_t>(shards.size()));
    shards.read(0, tokens);
    return tokens;
  }

  std::string write(const std::string& name, const std::string& text) {
    write_file(directory_.path() + "/" + name, text);
    return directory_.path() + "/" + name;
  }

  std::string error_of(const std::string& path) {
    try {
      tokens_of({path});
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  }

  TemporaryDirectory directory_;
  const SentencePieceTokenizer tokenizer_{model_with_bytes(), "m"};
  TokenizeOptions options_{.threads = 2};
  TokenizeTotals totals_;
};

TEST_F(TokenizeFileTest, TheTokensAreThoseOfTheWholeText) {
  const std::string novel = read_file("configs/persuasion.txt");
  std::string text;
  while (text.size() < 9 << 18) text += novel;  // several reads
  text += "and no end";
  const std::vector<int32_t> expected = tokenizer_.encode(text);
  EXPECT_EQ(tokens_of({write("text", text)}), expected);
  EXPECT_EQ(totals_.bytes, static_cast<int64_t>(text.size()));
  EXPECT_EQ(totals_.tokens, static_cast<int64_t>(expected.size()));
  EXPECT_EQ(totals_.unknown, 0);
  options_.threads = 1;
  EXPECT_EQ(tokens_of({directory_.path() + "/text"}), expected);
}

TEST_F(TokenizeFileTest, ItStopsWhenTold) {
  std::atomic<bool> stop{true};
  options_.stop = &stop;
  TokenShardWriter writer({.folder = directory_.path() + "/out",
                           .tokenizer_model = "m",
                           .vocabulary = tokenizer_.vocabulary()});
  EXPECT_FALSE(tokenize_file(write("text", "one two"), tokenizer_, options_, writer, totals_));
  EXPECT_EQ(totals_.tokens, 0);
}

TEST_F(TokenizeFileTest, ALineLongerThanTheBufferLosesNothing) {
  std::string text;
  while (text.size() < 9 << 19)
    text += "she was persuaded to believe the engagement a wrong thing ";
  text += "end\nlast";
  EXPECT_EQ(tokens_of({write("text", text)}), tokenizer_.encode(text));
}

TEST_F(TokenizeFileTest, LongLinesWithoutSpacesGiveTheSameTokensWithAnyNumberOfThreads) {
  std::string novel = read_file("configs/persuasion.txt");
  std::erase_if(novel, [](char c) { return c == ' ' || c == '\n'; });
  std::string text;
  while (text.size() < (9 << 19)) text += novel;
  text += "\n" + text.substr(0, 200001);
  write("text", text);
  const std::vector<int32_t> expected = tokenizer_.encode(text);
  for (const int threads : {1, 8}) {
    options_.threads = threads;
    EXPECT_TRUE(tokens_of({directory_.path() + "/text"}) == expected) << threads << " threads";
  }
}

TEST_F(TokenizeFileTest, FilesFollowEachOther) {
  const std::string first = write("first", "one\n");
  const std::string second = write("second", "two");
  const std::string empty = write("empty", "");
  EXPECT_EQ(tokens_of({first, empty, second}), tokenizer_.encode("one\ntwo"));
  EXPECT_EQ(totals_.bytes, 7);
}

TEST_F(TokenizeFileTest, UnknownCharactersAreCounted) {
  const SentencePieceTokenizer plain(testing::model_without_bytes(), "m");
  TokenShardWriter writer({.folder = directory_.path() + "/out",
                           .tokenizer_model = "m",
                           .vocabulary = plain.vocabulary()});
  tokenize_file(write("text", "a 日 b\nc 日本 d"), plain, options_, writer, totals_);
  EXPECT_EQ(totals_.unknown, 2) << "neighbours are one token";
}

TEST_F(TokenizeFileTest, APipeCanBeRead) {
  const std::string path = directory_.path() + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::thread feeder([&] { write_file(path, "one two"); });
  EXPECT_EQ(tokens_of({path}), tokenizer_.encode("one two"));
  feeder.join();
}

TEST_F(TokenizeFileTest, WhatCannotBeReadIsRefusedByName) {
  EXPECT_EQ(error_of("/nowhere/text"), "/nowhere/text: No such file or directory");
  EXPECT_EQ(error_of(directory_.path()), directory_.path() + ": is a directory, not a file");
  EXPECT_EQ(error_of(write("empty", "")), directory_.path() + "/out: there is no token to write");
}

}  // namespace
}  // namespace reformer
