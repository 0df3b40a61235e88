// Records are in the file whole or not at all.
#include "trainer/appending_file.h"

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/full_disk.h"

namespace reformer {
namespace {

using testing::read_file;

class AppendingFileTest : public ::testing::Test {
 protected:
  const testing::TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/file";
};

TEST_F(AppendingFileTest, RecordsAreThereAtOnceBehindWhatWas) {
  testing::write_file(path_, "before ");
  AppendingFile file(path_);
  EXPECT_TRUE(file.append(std::string("a\0b ", 4)));
  EXPECT_EQ(read_file(path_), std::string("before a\0b ", 11));
  EXPECT_TRUE(file.append(""));
  EXPECT_TRUE(file.append("c"));
  EXPECT_EQ(read_file(path_), std::string("before a\0b c", 12));
}

TEST_F(AppendingFileTest, OnAFullDiskARecordIsTakenBack) {
  AppendingFile file(path_);
  EXPECT_TRUE(file.append("first "));
  {
    const testing::FullDisk disk(100);
    EXPECT_FALSE(file.append(std::string(200, 'x')));
    EXPECT_EQ(read_file(path_), "first ");
    EXPECT_FALSE(file.append(std::string(20000, 'y')));  // more than any buffer
  }
  EXPECT_TRUE(file.append("second"));
  EXPECT_EQ(read_file(path_), "first second");
}

TEST_F(AppendingFileTest, WhatIsNoFileIsNamed) {
  const auto error_of = [](const std::string& path) -> std::string {
    try {
      AppendingFile file(path);
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  };
  testing::expect_contains(error_of(directory_.path()),
                           directory_.path() + ": cannot open for writing: Is a ");
  testing::expect_contains(error_of("/dev/null"), "/dev/null: is no file that can grow: ");
}

}  // namespace
}  // namespace reformer
