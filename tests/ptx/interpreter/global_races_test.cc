// Races in global memory: between blocks, between warps of a block, and what orders two accesses.
#include "tests/ptx/interpreter/global_races.h"

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::kHeader;

// Two blocks of two warps. %own is a word of each thread, %same one of the thread's place in its
// block, shared by both blocks; %flag is one word for all; %p: in block 0; %one: the first thread
// of its block.
std::string fault_of(const std::string& code, LaunchOptions options = {},
                     bool cooperative = false) {
  Device device(std::string(kHeader) + R"(
.visible .entry k(.param .u64 words, .param .u64 flag)
{
  .reg .pred %p, %q, %one;
  .reg .b32 %r<12>, %t, %b;
  .reg .b64 %own, %same, %flag, %X;
  ld.param.u64 %same, [words];
  ld.param.u64 %flag, [flag];
  mov.u32 %t, %tid.x;
  mov.u32 %b, %ctaid.x;
  setp.eq.u32 %p, %b, 0;
  setp.eq.u32 %one, %t, 0;
  mad.lo.u32 %r1, %b, 64, %t;
  mad.wide.u32 %own, %r1, 4, %same;
  mad.wide.u32 %same, %t, 4, %same;
  )" + code + "\n  ret;\n}\n");
  const DeviceAddress words = device.memory.allocate(std::vector<u32>(256));
  const DeviceAddress flag = device.memory.allocate(std::vector<u32>(2));
  options.global_races = true;
  return device.fault("k", {.grid = {2}, .block = {64}, .cooperative = cooperative}, {words, flag},
                      options);
}

TEST(GlobalRacesTest, FindsRacesBetweenBlocks) {
  EXPECT_EQ(fault_of("st.global.u32 [%own], %t; ld.global.u32 %r2, [%own];"), "");
  EXPECT_EQ(fault_of("ld.global.u32 %r2, [%same];"), "");
  EXPECT_CONTAINS(
      fault_of("st.global.u32 [%same], %b;"),
      "race in global memory: this write and a write by block 0, warp 0, which nothing orders at "
      "0x700000000000: k, line 19 `st.global.u32 [%same], %b`, block (1,0,0), thread (0,0,0)");
  EXPECT_CONTAINS(fault_of("st.global.u32 [%same], 1;"), "race in global memory");  // equal values
  EXPECT_CONTAINS(fault_of("@%p st.global.u32 [%same], 1; @!%p ld.global.u32 %r2, [%same];"),
                  "this read and a write by block 0");
  EXPECT_CONTAINS(fault_of("@!%p st.global.u32 [%same], 1; @%p ld.global.u32 %r2, [%same];"),
                  "this write and a read by block 0");
}

TEST(GlobalRacesTest, OrderOfTheBlocksDoesNotHideThem) {
  const std::string code = "@%p st.global.u32 [%same], 1; @!%p ld.global.u32 %r2, [%same];";
  EXPECT_CONTAINS(fault_of(code, {.block_order = Order::kReversed}),
                  "this write and a read by block 1");
  EXPECT_CONTAINS(fault_of(code, {.block_order = Order::kShuffled, .seed = 3}),
                  "race in global memory");
  EXPECT_CONTAINS(fault_of(code, {.host_threads = 2}), "race in global memory");
}

TEST(GlobalRacesTest, FindsRacesBetweenWarps) {
  const std::string address =
      "ld.param.u64 %X, [words]; xor.b32 %r2, %r1, 32; mad.wide.u32 %X, %r2, 4, %X;"
      "st.global.u32 [%own], %t; ";
  EXPECT_CONTAINS(fault_of(address + "ld.global.u32 %r3, [%X];"),
                  "this write and a read by block 0, warp 0");
  EXPECT_EQ(fault_of(address + "bar.sync 0; ld.global.u32 %r3, [%X];"), "");
}

TEST(GlobalRacesTest, PartsOfWordsAreToldApart) {
  // Each block writes one half of every word.
  const std::string half = "cvt.u64.u32 %X, %b; mad.lo.u64 %X, %X, 2, %same; ";
  EXPECT_EQ(fault_of(half + "st.global.u16 [%X], 1;"), "");
  EXPECT_CONTAINS(fault_of(half + "st.global.u16 [%X], 1; @!%p ld.global.u32 %r2, [%same];"),
                  "race in global memory");
}

TEST(GlobalRacesTest, AtomicsAreNoRaceAmongThemselves) {
  EXPECT_EQ(fault_of("red.global.add.u32 [%same], 1;"), "");
  EXPECT_CONTAINS(fault_of("@%p red.global.add.u32 [%same], 1; @!%p st.global.u32 [%same], 1;"),
                  "race in global memory");
  EXPECT_EQ(fault_of("st.relaxed.gpu.global.u32 [%same], 1; ld.volatile.global.u32 %r2, [%same];"),
            "");
}

// Block 0 hands its words over to block 1 through the flag.
std::string handed_over(const std::string& before, const std::string& set, const std::string& wait,
                        const std::string& after) {
  return "@!%p bra consumer;\n st.global.u32 [%same], %t; bar.sync 0; " + before + " @%one " + set +
         " bra end;\nconsumer:\n @!%one bra waited;\nagain: " + wait +
         " setp.eq.u32 %q, %r2, 0; @%q bra again;\nwaited: " + after +
         " bar.sync 0; ld.global.u32 %r3, [%same];\nend:";
}

TEST(GlobalRacesTest, FencesAndAFlagOrderBlocks) {
  const std::string set = "st.volatile.global.u32 [%flag], 1;",
                    wait = "ld.volatile.global.u32 %r2, [%flag];";
  const std::string atomic_set = "red.global.add.u32 [%flag], 1;";
  EXPECT_EQ(fault_of(handed_over("membar.gl;", set, wait, "membar.gl;")), "");
  EXPECT_EQ(fault_of(handed_over("fence.acq_rel.gpu;", atomic_set, wait, "fence.acq_rel.gpu;")),
            "");
  EXPECT_EQ(fault_of(handed_over("", "st.release.gpu.global.u32 [%flag], 1;",
                                 "ld.acquire.gpu.global.u32 %r2, [%flag];", "")),
            "");
}

TEST(GlobalRacesTest, AMissingFenceIsFound) {
  const std::string set = "st.volatile.global.u32 [%flag], 1;",
                    wait = "ld.volatile.global.u32 %r2, [%flag];";
  EXPECT_CONTAINS(fault_of(handed_over("", set, wait, "membar.gl;")),
                  "this read and a write by block 0");
  EXPECT_CONTAINS(fault_of(handed_over("membar.gl;", set, wait, "")),
                  "this read and a write by block 0");
  EXPECT_CONTAINS(fault_of(handed_over("membar.cta;", set, wait, "membar.cta;")),
                  "race in global memory");
  // What is written after the fence is not covered by it.
  EXPECT_CONTAINS(
      fault_of(handed_over("membar.gl; st.global.u32 [%same], 5;", set, wait, "membar.gl;")),
      "this read and a write by block 0");
}

TEST(GlobalRacesTest, AnIndirectOrderCounts) {
  GlobalRaces races(3);
  const auto access = [&](u64 block, DeviceAddress address, bool writes, bool strong) {
    return races.observe({.block = block}, address, 4, !writes, writes, {.strong = strong});
  };
  EXPECT_EQ(access(0, 64, true, false), "");
  races.fence(0);
  EXPECT_EQ(access(0, 0, true, true), "");
  EXPECT_EQ(access(1, 0, false, true), "");
  races.fence(1);
  EXPECT_EQ(access(1, 4, true, true), "");
  EXPECT_EQ(access(2, 4, false, true), "");
  races.fence(2);
  EXPECT_EQ(access(2, 64, true, false), "");
  EXPECT_CONTAINS(access(0, 64, false, false), "a write by block 2");
}

TEST(GlobalRacesTest, AWriteAfterSeveralReadersIsARace) {
  GlobalRaces races(3);
  const auto access = [&](u64 block, bool writes) {
    return races.observe({.block = block}, 64, 4, !writes, writes, {});
  };
  EXPECT_EQ(access(0, false), "");
  EXPECT_EQ(access(1, false), "");
  EXPECT_CONTAINS(access(2, true), "a read by several blocks");
}

}  // namespace
}  // namespace reformer::ptx
