// Races in shared memory, between warps and between lanes, and reads of what nobody wrote.
#include "tests/ptx/interpreter/shared_memory.h"

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::kHeader;

// Two warps; %s is the thread's word, %o the one of the same lane in the other warp, %n of the next
// lane.
std::string fault_of(const std::string& code, const LaunchOptions& options = {}) {
  Device device(std::string(kHeader) + R"(
.visible .entry k()
{
  .shared .align 4 .b8 s[256];
  .reg .pred %p, %first;
  .reg .b32 %r<8>, %t, %s, %o, %n;
  mov.u32 %t, %tid.x;
  mov.u32 %s, s;
  setp.lt.u32 %first, %t, 32;
  mad.lo.u32 %s, %t, 4, %s;
  xor.b32 %o, %s, 128;
  xor.b32 %n, %s, 4;
  )" + code + "\n  ret;\n}\n");
  return device.fault("k", {.block = {64}}, {}, options);
}

TEST(SharedMemoryTest, FindsRacesBetweenWarps) {
  EXPECT_CONTAINS(
      fault_of("st.shared.u32 [%s], %t; ld.shared.u32 %r1, [%o];"),
      "shared-memory race: this write and an access by another warp, with no barrier in "
      "between: k, line 16 `st.shared.u32 [%s], %t`, block (0,0,0), thread (32,0,0)");
  EXPECT_CONTAINS(fault_of("ld.shared.u32 %r1, [%s]; st.shared.u32 [%o], %t;"),
                  "this read and an access");
  EXPECT_CONTAINS(fault_of("st.shared.u32 [%s], %t; st.shared.u32 [%o], %t;"),
                  "this write and an access");
  // Equal values make it no better.
  EXPECT_CONTAINS(fault_of("st.shared.u32 [%s], 1; st.shared.u32 [%o], 1;"),
                  "this write and an access");
  EXPECT_EQ(fault_of("ld.shared.u32 %r1, [%s]; ld.shared.u32 %r1, [%o];"), "");
}

TEST(SharedMemoryTest, OrderOfTheWarpsDoesNotHideThem) {
  const std::string one_way = "@%first st.shared.u32 [%s], %t; @!%first ld.shared.u32 %r1, [%o];";
  for (const Order order : {Order::kForward, Order::kReversed, Order::kShuffled}) {
    EXPECT_CONTAINS(fault_of(one_way, {.warp_order = order}), "shared-memory race");
  }
}

TEST(SharedMemoryTest, ABarrierSeparates) {
  EXPECT_EQ(fault_of("st.shared.u32 [%s], %t; bar.sync 0; ld.shared.u32 %r1, [%o];"), "");
  EXPECT_EQ(fault_of("ld.shared.u32 %r1, [%s]; bar.sync 0; st.shared.u32 [%o], %t;"), "");
  EXPECT_CONTAINS(
      fault_of(
          "st.shared.u32 [%s], %t; bar.sync 0; ld.shared.u32 %r1, [%o]; st.shared.u32 [%s], %t;"),
      "shared-memory race");
}

TEST(SharedMemoryTest, SeveralReadersAreRemembered) {
  EXPECT_CONTAINS(
      fault_of("ld.shared.u32 %r1, [%s]; ld.shared.u32 %r1, [%o]; @%first st.shared.u32 [%s], 1;",
               {.warp_order = Order::kReversed}),
      "shared-memory race");
}

TEST(SharedMemoryTest, BytesAreToldApart) {
  const std::string bytes = "mov.u32 %s, s; selp.u32 %r1, 0, 1, %first; add.u32 %s, %s, %r1;";
  EXPECT_EQ(fault_of(bytes + "st.shared.u8 [%s], 1; ld.shared.u8 %r2, [%s];"), "");
  EXPECT_CONTAINS(fault_of(bytes + "st.shared.u8 [%s], 1; @!%first ld.shared.u16 %r2, [%s+-1];"),
                  "shared-memory race");
}

TEST(SharedMemoryTest, StrongAccessesAreNoRace) {
  EXPECT_EQ(fault_of("st.volatile.shared.u32 [%s], %t; ld.volatile.shared.u32 %r1, [%o];"), "");
  EXPECT_EQ(fault_of("atom.shared.add.u32 %r1, [%s], 1; atom.shared.add.u32 %r1, [%o], 1;"), "");
}

TEST(SharedMemoryTest, TheCheckCanBeTurnedOff) {
  EXPECT_EQ(fault_of("st.shared.u32 [%s], %t; ld.shared.u32 %r1, [%o];", {.shared_races = false}),
            "");
}

TEST(SharedMemoryTest, FindsRacesBetweenLanes) {
  const std::string code = "st.shared.u32 [%s], %t; ld.shared.u32 %r1, [%n];";
  EXPECT_EQ(fault_of(code), "");
  EXPECT_CONTAINS(
      fault_of(code, {.lane_races = true}),
      "this read and an access by another lane of the warp, with no __syncwarp in between");
  EXPECT_EQ(fault_of("st.shared.u32 [%s], %t; bar.warp.sync -1; ld.shared.u32 %r1, [%n];",
                     {.lane_races = true}),
            "");
  EXPECT_CONTAINS(
      fault_of("ld.shared.u32 %r1, [%n]; st.shared.u32 [%s], %t;", {.lane_races = true}),
      "this write and an access by another lane");
}

TEST(SharedMemoryTest, FindsReadsOfWhatNobodyWrote) {
  const std::string code = "@%first st.shared.u32 [%s], %t; bar.sync 0; ld.shared.u32 %r1, [%s];";
  EXPECT_EQ(fault_of(code), "");
  EXPECT_CONTAINS(
      fault_of(code, {.unwritten_shared = true}),
      "read of shared memory that was never written: k, line 16 `ld.shared.u32 %r1, [%s]`, "
      "block (0,0,0), thread (32,0,0)");
}

TEST(SharedMemoryTest, IntervalsStartAgainAfterTheLast) {
  SharedMemory shared;
  shared.reset(64, {});
  const u64 offset = 0;
  const auto write = [&](int warp) {
    return shared.observe({.warp = warp,
                           .lane_epoch = 0,
                           .lanes = 1,
                           .offsets = &offset,
                           .bytes = 4,
                           .access = Access::kWrite,
                           .strong = false});
  };
  for (u32 i = 0; i < (u32{1} << 26) + 5; ++i) shared.pass_barrier();
  EXPECT_FALSE(write(0));
  EXPECT_TRUE(write(1));
  shared.pass_barrier();
  EXPECT_FALSE(write(2));
}

}  // namespace
}  // namespace reformer::ptx
