// What follows from facts about memory.
#include "launch/doctor/memory.h"

#include <gtest/gtest.h>

#include "tests/launch/doctor/doctor_testing.h"

namespace reformer::doctor {
namespace {

using testing::about;

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kGiB = size_t{1} << 30;

MemoryFacts good() {
  return {.machine = 16 * kGiB,
          .available = 12 * kGiB,
          .allowed = {},
          .shared = 8 * kGiB,
          .usable_cores = 8,
          .lockable = {},
          .infiniband = false};
}

TEST(MemoryTest, PlentyIsOk) {
  EXPECT_EQ(about(good(), "memory"), "ok: 12.00 GiB available of 16.00 GiB");
  EXPECT_EQ(about(good(), "shared memory"), "ok: 8.00 GiB free in /dev/shm");
  EXPECT_EQ(about(good(), "locked memory"), "absent");
}

TEST(MemoryTest, LittleIsAWarningAndNextToNoneAProblem) {
  const std::string remedy = " → end other programs, or raise the limit of the container or job";
  MemoryFacts facts = good();
  facts.available = kGiB;
  EXPECT_EQ(about(facts, "memory"), "ok: 1.00 GiB available of 16.00 GiB");
  facts.available = kGiB - kMiB;
  EXPECT_EQ(about(facts, "memory"),
            "warning: 1023.0 MiB available of 16.00 GiB: enough for the demo alone" + remedy);
  facts.available = 127 * kMiB;
  EXPECT_EQ(about(facts, "memory"), "problem: 127.0 MiB available of 16.00 GiB" + remedy);
  facts.available = std::nullopt;
  EXPECT_EQ(about(facts, "memory"),
            "warning: the system does not tell how much there is → mount /proc; without it a run "
            "that needs too much is not refused");
}

TEST(MemoryTest, TheLimitOfTheControlGroupIsSaid) {
  MemoryFacts facts = good();
  facts.allowed = 4 * kGiB;
  facts.available = 3 * kGiB;
  EXPECT_EQ(about(facts, "memory"),
            "ok: 3.00 GiB available of 16.00 GiB, of which the control group allows 4.00 GiB");
  facts.allowed = 16 * kGiB;
  EXPECT_EQ(about(facts, "memory"), "ok: 3.00 GiB available of 16.00 GiB");
}

TEST(MemoryTest, SharedMemoryMustHoldEveryRank) {
  const std::string remedy =
      " → make /dev/shm larger: docker run --shm-size=1g, or mount -o remount,size=1g /dev/shm";
  MemoryFacts facts = good();
  facts.shared = 64 * kMiB;
  EXPECT_EQ(about(facts, "shared memory"), "ok: 64.0 MiB free in /dev/shm");
  facts.usable_cores = 9;
  EXPECT_EQ(about(facts, "shared memory"),
            "warning: 64.0 MiB free in /dev/shm: enough for 8 ranks" + remedy);
  facts.shared = 15 * kMiB;
  EXPECT_EQ(about(facts, "shared memory"),
            "problem: 15.0 MiB free in /dev/shm: ranks that share it are killed" + remedy);
  facts.shared = std::nullopt;
  EXPECT_EQ(about(facts, "shared memory"),
            "warning: there is no /dev/shm, through which ranks of a machine talk → mount a tmpfs "
            "there");
}

TEST(MemoryTest, LockedMemoryMattersToInfinibandAlone) {
  MemoryFacts facts = good();
  facts.lockable = 8 * kMiB;
  EXPECT_EQ(about(facts, "locked memory"), "absent");
  facts.infiniband = true;
  EXPECT_EQ(about(facts, "locked memory"),
            "warning: limited to 8.0 MiB, and there is InfiniBand, whose drivers lock what they "
            "send → ulimit -l unlimited, or LimitMEMLOCK=infinity for the batch system's daemon");
  facts.lockable = std::nullopt;
  EXPECT_EQ(about(facts, "locked memory"), "absent");
}

TEST(MemoryTest, ThisMachineIsSeen) {
  const MemoryFacts facts = look_at_memory();
  ASSERT_TRUE(facts.machine && facts.available);
  EXPECT_GT(*facts.available, 0u);
  EXPECT_GE(*facts.machine, *facts.available);
}

}  // namespace
}  // namespace reformer::doctor
