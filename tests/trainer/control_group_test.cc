// Limits of control groups, out of folders as the kernel shows them.
#include "trainer/control_group.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::TemporaryDirectory;

class ControlGroupTest : public ::testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = directory_.path() + "/" + path;
    std::filesystem::create_directories(file.parent_path());
    testing::write_file(file.string(), text);
  }
  ControlGroup read() const { return read_control_group(directory_.path()); }

  TemporaryDirectory directory_;
};

TEST_F(ControlGroupTest, WithoutAnyThereIsNoLimit) {
  EXPECT_FALSE(read().cores || read().memory || read().memory_left);
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_FALSE(read().cores || read().memory || read().memory_left);
}

TEST_F(ControlGroupTest, TheTightestOfTheGroupsAboveHolds) {
  write("proc/self/cgroup", "0::/job/step\n");
  write("sys/fs/cgroup/job/cpu.max", "250000 100000\n");
  write("sys/fs/cgroup/job/step/cpu.max", "400000 100000\n");
  write("sys/fs/cgroup/job/memory.max", "4000\n");
  write("sys/fs/cgroup/job/memory.current", "1000\n");
  write("sys/fs/cgroup/job/step/memory.max", "3000\n");
  write("sys/fs/cgroup/job/step/memory.current", "900\n");
  write("sys/fs/cgroup/job/step/memory.stat", "anon 300\ninactive_file 500\n");
  write("sys/fs/cgroup/other/memory.max", "1\n");
  EXPECT_EQ(read().cores, 2.5);
  EXPECT_EQ(read().memory, 3000u);
  EXPECT_EQ(read().memory_left, 2600u) << "pages of files can be given up";
  write("sys/fs/cgroup/job/memory.current", "3900\n");
  EXPECT_EQ(read().memory_left, 100u);
  write("sys/fs/cgroup/job/memory.current", "5000\n");
  EXPECT_EQ(read().memory_left, 0u);
}

TEST_F(ControlGroupTest, VersionOneIsRead) {
  write("proc/self/cgroup", "4:memory:/docker/a\n1:cpu,cpuacct:/docker/a\n5:devices:/\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_quota_us", "150000\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "5000\n");
  write("sys/fs/cgroup/memory/docker/a/memory.usage_in_bytes", "2000\n");
  write("sys/fs/cgroup/memory/docker/a/memory.stat", "total_inactive_file 100\n");
  EXPECT_EQ(read().cores, 1.5);
  EXPECT_EQ(read().memory, 5000u);
  EXPECT_EQ(read().memory_left, 3100u);
  write("sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_FALSE(read().cores || read().memory || read().memory_left);
}

// Inside a container the path is often the host's, and the limits are at the mount itself.
TEST_F(ControlGroupTest, AContainerSeesItsLimitsAtTheTop) {
  write("proc/self/cgroup", "0::/docker/of/the/host\n");
  write("sys/fs/cgroup/memory.max", "7000\n");
  write("sys/fs/cgroup/memory.current", "0\n");
  EXPECT_EQ(read().memory, 7000u);
}

TEST_F(ControlGroupTest, NonsenseLimitsNothing) {
  write("proc/self/cgroup", "nonsense\n0:\n::\n0::/\n");
  write("sys/fs/cgroup/cpu.max", "100000 0\n");
  write("sys/fs/cgroup/memory.max", "much\n");
  EXPECT_FALSE(read().cores || read().memory);
}

}  // namespace
}  // namespace reformer
