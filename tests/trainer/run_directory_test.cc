#include "trainer/run_directory.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

TEST(RunLockTest, CreatesTheDirectoryAndHoldsItForOne) {
  const testing::TemporaryDirectory directory;
  const RunDirectory run{directory.path() + "/a/run"};
  {
    const RunLock lock(run);
    EXPECT_TRUE(std::filesystem::is_directory(run.checkpoints()));
    try {
      const RunLock second(run);
      ADD_FAILURE() << "two hold one directory";
    } catch (const DataError& error) {
      EXPECT_EQ(error.what(), run.path + ": another process is training there");
    }
  }
  const RunLock again(run);
}

TEST(RunLockTest, AFileInTheWayIsNamed) {
  const testing::TemporaryDirectory directory;
  const RunDirectory run{directory.path() + "/file/run"};
  testing::write_file(directory.path() + "/file", "text");
  try {
    const RunLock lock(run);
    ADD_FAILURE() << "no error";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find(run.path), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace reformer
