// What follows from facts about the disk, and the probe that finds them.
#include "launch/doctor/disk.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "tests/launch/doctor/doctor_testing.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer::doctor {
namespace {

using reformer::testing::names_in;
using reformer::testing::TemporaryDirectory;
using reformer::testing::write_file;
using testing::about;

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kGiB = size_t{1} << 30;

DiskFacts good() {
  return {.run_directory = "runs",
          .folder = "/home",
          .fault = "",
          .free = 100 * kGiB,
          .in_memory = false,
          .largest_file = {},
          .bytes_per_second = 300e6};
}

TEST(DiskTest, AGoodOneIsOk) {
  EXPECT_EQ(about(good(), "disk space"), "ok: 100.00 GiB free in /home");
  EXPECT_EQ(about(good(), "disk speed"), "ok: 300 MB/s, written and synced");
  EXPECT_EQ(about(good(), "run directory"), "absent");
  EXPECT_EQ(about(good(), "file size"), "absent");
}

TEST(DiskTest, SpaceForNoCheckpointIsAProblem) {
  const std::string remedy = " → free some, or put runs elsewhere with --run-dir";
  DiskFacts facts = good();
  facts.free = 5 * kGiB;
  EXPECT_EQ(
      about(facts, "disk space"),
      "warning: 5.00 GiB free in /home; a run of the published model keeps two checkpoints of "
      "1.67 GiB, and writes a third beside them" +
          remedy);
  facts.free = 6 * kGiB;
  EXPECT_EQ(about(facts, "disk space"), "ok: 6.00 GiB free in /home");
  facts.free = 63 * kMiB;
  EXPECT_EQ(about(facts, "disk space"), "problem: 63.0 MiB free in /home" + remedy);
}

TEST(DiskTest, WhatMakesSavingSlowOrVainIsAWarning) {
  DiskFacts facts = good();
  facts.bytes_per_second = 10e6;
  EXPECT_EQ(about(facts, "disk speed"),
            "warning: 10 MB/s, written and synced: saving the published model takes 179 s → put "
            "runs on another disk with --run-dir, or save seldom (checkpoint.every)");
  facts.in_memory = true;
  EXPECT_EQ(about(facts, "run directory"),
            "warning: /home is in memory: what is saved there is lost at the next start of the "
            "machine → put runs on a disk with --run-dir");
  facts.largest_file = 20 * kMiB;
  EXPECT_EQ(about(facts, "file size"),
            "warning: limited to 20.0 MiB: a larger checkpoint fails → ulimit -f unlimited");
}

TEST(DiskTest, AFolderThatCannotBeWrittenIsAProblemAndTheOnlyOne) {
  DiskFacts facts = good();
  facts.fault = "Permission denied";
  EXPECT_EQ(about(facts, "run directory"),
            "problem: runs cannot be written: /home: Permission denied → name another with "
            "--run-dir, or change its owner or mode");
  EXPECT_EQ(judge(facts).size(), 1u);
}

TEST(LookAtDiskTest, ProbesTheNearestFolderAndLeavesNothing) {
  const TemporaryDirectory directory;
  const DiskFacts facts = look_at_disk(directory.path() + "/not/there/yet");
  EXPECT_EQ(facts.folder, directory.path());
  EXPECT_EQ(facts.fault, "");
  EXPECT_GT(facts.free, 0u);
  EXPECT_GT(facts.bytes_per_second, 0);
  EXPECT_TRUE(names_in(directory.path()).empty());
  EXPECT_EQ(look_at_disk(directory.path()).folder, directory.path());
}

TEST(LookAtDiskTest, SaysWhyNothingCanBeWritten) {
  const TemporaryDirectory directory;
  write_file(directory.path() + "/file", "x");
  EXPECT_EQ(look_at_disk(directory.path() + "/file").fault, "is no directory");
  EXPECT_EQ(look_at_disk(directory.path() + "/file/run").fault, "is no directory");
  EXPECT_NE(look_at_disk("/proc/nothing").fault, "");
}

TEST(LookAtDiskTest, FileSystemsInMemoryAreKnown) {
  if (!std::filesystem::is_directory("/dev/shm")) GTEST_SKIP() << "no tmpfs to look at";
  EXPECT_TRUE(look_at_disk("/dev/shm/run").in_memory);
}

}  // namespace
}  // namespace reformer::doctor
