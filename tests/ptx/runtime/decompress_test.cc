#include "tests/ptx/runtime/decompress.h"

#include <initializer_list>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace reformer::ptx {
namespace {

std::vector<std::byte> bytes(const std::string& text) {
  std::vector<std::byte> result;
  for (const char letter : text) result.push_back(static_cast<std::byte>(letter));
  return result;
}

std::string lz4(const std::string& packed, size_t size) {
  return decompress_lz4(bytes(packed), size);
}

TEST(Lz4, Literals) {
  EXPECT_EQ(lz4(std::string("\x50") + "hello", 5), "hello");
}

TEST(Lz4, LongLiterals) {
  const std::string text(15 + 255 + 7, 'x');
  EXPECT_EQ(lz4("\xf0\xff\x07" + text, text.size()), text);
}

TEST(Lz4, MatchesMayOverlapWhatTheyAppend) {
  // "ab", then 8 bytes from 2 before, then "end".
  EXPECT_EQ(lz4(std::string("\x24"
                            "ab\x02\x00\x30"
                            "end",
                            9),
                13),
            "ababababab"
            "end");
}

TEST(Lz4, LongMatches) {
  // "z", then 4 + 15 + 255 + 1 bytes from 1 before.
  EXPECT_EQ(lz4(std::string("\x1fz\x01\x00\xff\x01\x10y", 8), 277), std::string(276, 'z') + "y");
}

TEST(Lz4, RefusesDamagedData) {
  EXPECT_THROW(lz4(std::string("\x50") + "hell", 5), std::runtime_error);           // cut off
  EXPECT_THROW(lz4(std::string("\x50") + "hello", 6), std::runtime_error);          // too short
  EXPECT_THROW(lz4(std::string("\x14z\x02\x00\x10y", 6), 10), std::runtime_error);  // before it
  EXPECT_THROW(lz4(std::string("\x14z\x00\x00\x10y", 6), 10), std::runtime_error);
  EXPECT_THROW(lz4(std::string("\x14z\x01\x00\x10y", 6), 4), std::runtime_error);  // too long
  EXPECT_THROW(lz4("\xf0\xff", 1000), std::runtime_error);
}

TEST(Zstd, RawBlock) {
  // Magic, a single segment with its size in one byte, one last raw block.
  const std::string text = "raw block";
  const auto size = static_cast<char>(text.size());
  const std::string header{'\x28', '\xb5', '\x2f', '\xfd', '\x20', size};
  const std::string block{static_cast<char>(size << 3 | 1), '\0', '\0'};
  try {
    EXPECT_EQ(decompress_zstd(bytes(header + block + text), text.size()), text);
  } catch (const std::runtime_error& error) {
    if (std::string(error.what()).find("cannot be loaded") == std::string::npos) throw;
    GTEST_SKIP() << error.what();
  }
  EXPECT_THROW(decompress_zstd(bytes(header + block + text), text.size() + 1), std::runtime_error);
  EXPECT_THROW(decompress_zstd(bytes(header), text.size()), std::runtime_error);
}

}  // namespace
}  // namespace reformer::ptx
