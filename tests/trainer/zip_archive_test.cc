// Entries of an archive, and what is wrong with some.
#include "trainer/weights/zip_archive.h"

#include <cstring>
#include <functional>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/zip_testing.h"

namespace reformer {
namespace {

using testing::expect_contains;

class ZipArchiveTest : public ::testing::Test {
 protected:
  static std::string message_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  }

  static std::string text_of(const std::string& path, const std::string& name) {
    const std::vector<uint8_t> bytes = ZipArchive(path).read(name);
    return {bytes.begin(), bytes.end()};
  }

  const testing::TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/archive";
};

TEST_F(ZipArchiveTest, EntriesAreReadWhole) {
  const std::string large(100000, 'x');
  testing::write_archive(path_, {{"a/b", "text"}, {"empty", ""}, {"large", large}});
  const ZipArchive archive(path_);
  EXPECT_EQ(archive.names(), (std::vector<std::string>{"a/b", "empty", "large"}));
  EXPECT_TRUE(archive.has("a/b"));
  EXPECT_FALSE(archive.has("a"));
  EXPECT_EQ(archive.size_of("large"), large.size());
  EXPECT_EQ(text_of(path_, "a/b"), "text");
  EXPECT_EQ(text_of(path_, "empty"), "");
  EXPECT_EQ(text_of(path_, "large"), large);
}

TEST_F(ZipArchiveTest, WhatCannotBeReadIsNamed) {
  testing::write_archive(path_, {{"text", std::string(1000, 'x')}}, ZIP_CM_DEFLATE);
  expect_contains(message_of([&] { ZipArchive(path_).read("text"); }),
                  path_ + ": entry text: compressed, which is not read");
  expect_contains(message_of([&] { ZipArchive(path_).read("absent"); }),
                  "entry absent: No such file");
  testing::write_file(path_, "no archive");
  expect_contains(message_of([&] { ZipArchive archive(path_); }),
                  path_ + ": is a damaged archive, or cut off: Not a zip archive");
}

TEST_F(ZipArchiveTest, AChangedByteIsFound) {
  testing::write_archive(path_, {{"name", "text"}});
  std::string bytes = testing::read_file(path_);
  bytes[bytes.find("text")] = 'X';
  testing::write_file(path_, bytes);
  expect_contains(message_of([&] { ZipArchive(path_).read("name"); }), "entry name: CRC error");
}

TEST_F(ZipArchiveTest, AnEntryThatClaimsMoreThanTheFileHasIsRefused) {
  testing::write_archive(path_, {{"name", "text"}});
  std::string bytes = testing::read_file(path_);
  // Both sizes in the central directory: they agree with each other.
  const size_t directory_entry = bytes.find("PK\x01\x02");
  ASSERT_NE(directory_entry, std::string::npos);
  const uint32_t claimed = 0x7fffffff;
  for (const size_t offset : {20u, 24u}) {
    std::memcpy(bytes.data() + directory_entry + offset, &claimed, sizeof(claimed));
  }
  testing::write_file(path_, bytes);
  const std::string expected = path_ +
                               ": entry name: claims 2147483647 bytes, and the whole file has " +
                               std::to_string(bytes.size());
  EXPECT_EQ(message_of([&] { ZipArchive(path_).size_of("name"); }), expected);
  EXPECT_EQ(message_of([&] { ZipArchive(path_).read("name"); }), expected);
}

}  // namespace
}  // namespace reformer
