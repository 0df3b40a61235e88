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

TEST(RunLockTest, ThrowsAwayTheFlightRecordsOfTheStartBefore) {
  const testing::TemporaryDirectory directory;
  const RunDirectory run{directory.path() + "/run"};
  std::filesystem::create_directories(run.flight_records());
  for (const int rank : {2, 0, 1}) testing::write_file(run.flight_record(rank), "old");
  EXPECT_EQ(list_flight_records(run),
            (std::vector{run.flight_record(0), run.flight_record(1), run.flight_record(2)}));
  const RunLock lock(run);
  EXPECT_TRUE(list_flight_records(run).empty());
}

}  // namespace
}  // namespace reformer
