// Launches: orders, host threads, blocks that wait for each other, and launches that do not fit.
#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::kHeader;

// Writes down in which order blocks (and their warps) came to a counter.
const std::string kOrders = std::string(kHeader) + R"(
.visible .entry k(.param .u64 counter, .param .u64 out)
{
  .reg .pred %p;
  .reg .b32 %r<6>;
  .reg .b64 %c, %o;
  ld.param.u64 %c, [counter];
  ld.param.u64 %o, [out];
  mov.u32 %r1, %laneid;
  setp.ne.u32 %p, %r1, 0;
  @%p exit;
  atom.global.add.u32 %r2, [%c], 1;
  mov.u32 %r3, %ctaid.x;
  mov.u32 %r4, %warpid;
  mad.lo.u32 %r3, %r3, 4, %r4;
  mad.wide.u32 %o, %r2, 4, %o;
  st.global.u32 [%o], %r3;
  ret;
})";

std::vector<u32> order_of(const LaunchOptions& options) {
  Device device(kOrders);
  const DeviceAddress counter = device.memory.allocate(std::vector<u32>{0});
  const DeviceAddress out = device.memory.allocate(32 * 4);
  device.run("k", {.grid = {8}, .block = {128}}, {counter, out}, options);
  return device.memory.read<u32>(out, 32);
}

TEST(LaunchTest, BlocksAndWarpsComeInTheOrderAskedFor) {
  const auto forward = order_of({});
  const auto backward = order_of({.warp_order = Order::kReversed, .block_order = Order::kReversed});
  for (u32 i = 0; i < 32; ++i) {
    EXPECT_EQ(forward[i], i);
    EXPECT_EQ(backward[i], 31 - i);
  }
  const auto shuffled = [](std::uint64_t seed) {
    return order_of(
        {.warp_order = Order::kShuffled, .block_order = Order::kShuffled, .seed = seed});
  };
  EXPECT_EQ(shuffled(1), shuffled(1));
  EXPECT_NE(shuffled(1), shuffled(2));
  EXPECT_NE(shuffled(1), forward);
}

TEST(LaunchTest, HostThreadsShareTheBlocks) {
  auto values = order_of({.host_threads = 4});
  std::sort(values.begin(), values.end());
  for (u32 i = 0; i < 32; ++i) EXPECT_EQ(values[i], i);
}

// A barrier of the whole grid, as cooperative groups do it: twice, with a sum of all in between.
const std::string kGridSync = std::string(kHeader) + R"(
.visible .entry k(.param .u64 words, .param .u64 out)
{
  .reg .pred %p, %q;
  .reg .b32 %r<12>;
  .reg .b64 %rd<8>;
  ld.param.u64 %rd1, [words];
  ld.param.u64 %rd2, [out];
  mov.u32 %r1, %ctaid.x;
  mov.u32 %r2, %nctaid.x;
  mad.wide.u32 %rd3, %r1, 4, %rd1;
  mad.wide.u32 %rd4, %r1, 4, %rd2;
  st.global.u32 [%rd3], %r1;
  mov.u32 %r3, %envreg1;
  mov.u32 %r4, %envreg2;
  mov.b64 %rd5, {%r4, %r3};
  bar.sync 0;
  mov.u32 %r5, %tid.x;
  setp.ne.u32 %p, %r5, 0;
  @%p bra met;
  membar.gl;
  atom.global.add.u32 %r6, [%rd5+4], 1;
again:
  ld.volatile.global.u32 %r6, [%rd5+4];
  setp.lt.u32 %q, %r6, %r2;
  @%q bra again;
  membar.gl;
met:
  bar.sync 0;
  mov.u32 %r7, 0;
  mov.u32 %r8, 0;
sum:
  ld.global.u32 %r9, [%rd1];
  add.u32 %r7, %r7, %r9;
  add.s64 %rd1, %rd1, 4;
  add.u32 %r8, %r8, 1;
  setp.lt.u32 %q, %r8, %r2;
  @%q bra sum;
  @!%p st.global.u32 [%rd4], %r7;
  ret;
})";

TEST(LaunchTest, BlocksOfACooperativeLaunchMeet) {
  for (const int host_threads : {1, 3}) {
    for (const Order order : {Order::kForward, Order::kReversed, Order::kShuffled}) {
      Device device(kGridSync);
      const DeviceAddress words = device.memory.allocate(50 * 4),
                          out = device.memory.allocate(50 * 4);
      device.run("k", {.grid = {50}, .block = {1}, .cooperative = true}, {words, out},
                 {.warp_order = order,
                  .block_order = order,
                  .global_races = true,
                  .host_threads = host_threads});
      EXPECT_EQ(device.memory.read<u32>(out, 50), std::vector<u32>(50, 49 * 25));
    }
  }
}

TEST(LaunchTest, ABlockMayWaitForEarlierOnesInAnyOrder) {
  // Each block waits for the word of the one before it.
  Device device(std::string(kHeader) + R"(
.visible .entry k(.param .u64 words)
{
  .reg .pred %p;
  .reg .b32 %r<4>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [words];
  mov.u32 %r1, %ctaid.x;
  mad.wide.u32 %rd1, %r1, 4, %rd1;
again:
  ld.volatile.global.u32 %r2, [%rd1];
  setp.eq.u32 %p, %r2, 0;
  @%p bra again;
  add.u32 %r2, %r2, 1;
  st.volatile.global.u32 [%rd1+4], %r2;
  ret;
})");
  for (const Order order : {Order::kForward, Order::kReversed, Order::kShuffled}) {
    std::vector<u32> initial(201);
    initial[0] = 1;
    const DeviceAddress words = device.memory.allocate(initial);
    device.run("k", {.grid = {200}, .block = {1}}, {words}, {.block_order = order});
    EXPECT_EQ(device.memory.read<u32>(words, 201)[200], 201U);
  }
}

TEST(LaunchTest, CountsThreadInstructions) {
  Device device(std::string(kHeader) + ".visible .entry k() { .reg .b32 %r; mov.u32 %r, 1; ret; }");
  EXPECT_EQ(device.run("k", {.grid = {3}, .block = {40}}, {}), 3U * 40 * 2);
}

TEST(LaunchTest, DynamicSharedMemoryFollowsTheStaticOne) {
  Device device(std::string(kHeader) + R"(
.extern .shared .align 16 .b8 dynamic[];
.visible .entry k(.param .u64 out)
{
  .shared .align 4 .b8 fixed[20];
  .reg .b32 %r<4>;
  .reg .b64 %rd1;
  ld.param.u64 %rd1, [out];
  mov.u32 %r1, dynamic;
  st.shared.u32 [%r1+12], %r1;
  mov.u32 %r2, %dynamic_smem_size;
  st.global.v2.u32 [%rd1], {%r1, %r2};
  ret;
})");
  const DeviceAddress out = device.memory.allocate(8);
  EXPECT_EQ(device.module.info("k").static_shared_bytes, 20U);
  device.run("k", {.block = {1}, .dynamic_shared_bytes = 16}, {out});
  EXPECT_EQ(device.memory.read<u32>(out, 2), (std::vector<u32>{32, 16}));
  EXPECT_CONTAINS(device.fault("k", {.block = {1}, .dynamic_shared_bytes = 12}, {out}),
                  "out of bounds of shared memory of 44 bytes");
}

std::string refusal_of(const LaunchShape& shape, const std::vector<u64>& arguments) {
  Device device(std::string(kHeader) +
                ".visible .entry _Z1kf(.param .u64 a) .maxntid 64, 1, 1 { ret; }\n"
                ".visible .entry shaped() .reqntid 8, 8, 1 { ret; }");
  try {
    device.run(arguments.empty() ? "shaped" : "_Z1kf", shape, arguments);
  } catch (const std::invalid_argument& refused) {
    return refused.what();
  }
  return "";
}

TEST(LaunchTest, RefusesWhatDoesNotFit) {
  EXPECT_EQ(refusal_of({.block = {64}}, {1}), "");
  EXPECT_EQ(refusal_of({.block = {65}}, {1}),
            "k(float): a block of 65 threads, but its launch bounds are 64");
  EXPECT_EQ(refusal_of({.block = {64, 64}}, {1}), "k(float): a block of 4096 threads");
  EXPECT_EQ(refusal_of({.block = {64}}, {1, 2}), "k(float): 2 arguments for 1 parameters");
  EXPECT_EQ(refusal_of({.grid = {0}, .block = {64}}, {1}), "k(float): a launch of nothing");
  EXPECT_EQ(refusal_of({.block = {64}}, {}), "shaped: a block of another shape than .reqntid");
  EXPECT_EQ(refusal_of({.block = {8, 8}}, {}), "");
}

TEST(LaunchTest, AFaultOnOneHostThreadStopsTheOthers) {
  Device device(std::string(kHeader) + R"(
.visible .entry k()
{
  .reg .pred %p;
  .reg .b32 %r1;
  mov.u32 %r1, %ctaid.x;
  setp.ne.u32 %p, %r1, 3;
again:
  @!%p trap;
  nanosleep.u32 1;
  bra again;
})");
  EXPECT_CONTAINS(device.fault("k", {.grid = {8}, .block = {32}}, {}, {.host_threads = 4}),
                  "trap: k, line 12");
}

}  // namespace
}  // namespace reformer::ptx
