// A file's bytes as a stream of tokens.
#include "trainer/data/byte_stream.h"

#include <vector>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::TemporaryDirectory;
using testing::write_file;

TEST(ByteStreamTest, ReadsAnyStretch) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/file";
  write_file(path, std::string("\0\x7f\x80\xff", 4));
  const ByteStream stream(path, ByteTokenizer(2));
  EXPECT_EQ(stream.size(), 4);
  EXPECT_EQ(stream.vocabulary(), 258);
  EXPECT_EQ(stream.path(), path);
  std::vector<int32_t> tokens(4);
  stream.read(0, tokens);
  EXPECT_EQ(tokens, (std::vector<int32_t>{2, 129, 130, 257}));
  tokens.resize(2);
  stream.read(2, tokens);
  EXPECT_EQ(tokens, (std::vector<int32_t>{130, 257}));
  stream.read(4, {});
}

TEST(ByteStreamTest, AMissingFileIsRefused) {
  EXPECT_THROW(ByteStream("/nowhere/file", ByteTokenizer()), DataError);
}

}  // namespace
}  // namespace reformer
