// Files written from start to end, and what their faults are.
#include "trainer/checkpoint/durable_file.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::read_file;
using testing::TemporaryDirectory;

void throw_logic_error(const std::string& what) {
  throw std::logic_error(what);
}

TEST(DurableFileTest, BytesCanBeReplacedLater) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/file";
  DurableFile file(path);
  file.write("abcdef", 6);
  file.overwrite(1, "XY", 2);
  file.write("gh", 2);
  EXPECT_EQ(file.size(), 8);
  file.close();
  EXPECT_EQ(read_file(path), "aXYdefgh");
}

TEST(DurableFileTest, FaultsAreThoseOfItsOwner) {
  const std::string missing = "/nowhere/file";
  EXPECT_EQ(testing::error_of([&] { DurableFile file(missing); }),
            "checkpoint: cannot create /nowhere/file: No such file or directory");
  EXPECT_EQ(testing::error_of([&] { sync_directory("/nowhere"); }),
            "checkpoint: cannot open /nowhere: No such file or directory");
  try {
    DurableFile file(missing, throw_logic_error);
    ADD_FAILURE() << "created";
  } catch (const std::logic_error& error) {
    EXPECT_STREQ(error.what(), "cannot create /nowhere/file: No such file or directory");
  }
  EXPECT_THROW(sync_directory("/nowhere", throw_logic_error), std::logic_error);
}

TEST(Crc32cTest, IsTheStandardsCheck) {
  EXPECT_EQ(crc32c("123456789", 9), 0xe3069283u);
  EXPECT_EQ(crc32c("", 0), 0u);
}

}  // namespace
}  // namespace reformer
