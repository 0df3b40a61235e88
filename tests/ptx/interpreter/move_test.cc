#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::awkward_integers;
using testing::Device;
using testing::evaluate;
using testing::expect_each;
using testing::kHeader;
using testing::pairs;
using testing::Row;

TEST(MoveTest, PacksAndUnpacks) {
  const auto rows = pairs(awkward_integers());
  expect_each<u64>("mov.b64 %D, {%a, %b};", rows,
                   [](const Row& r) { return (r.a & 0xffffffff) | r.b << 32; });
  expect_each<u64>("mov.b64 {%a, %b}, %A; mov.b64 %D, {%b, %a};", rows,
                   [](const Row& r) { return r.a >> 32 | r.a << 32; });
  expect_each<u32>("mov.b32 {%ha, _}, %b; mov.b32 %d, {%ha, %hc};", rows, [](const Row& r) {
    return static_cast<u32>((r.b & 0xffff) | (r.c & 0xffff) << 16);
  });
}

TEST(MoveTest, Constants) {
  const std::vector<Row> one = {{}};
  EXPECT_EQ(evaluate("mov.f32 %d, 0fBF800000;", 4, one)[0], 0xbf800000U);
  EXPECT_EQ(evaluate("mov.f32 %d, 0.5;", 4, one)[0], 0x3f000000U);
  EXPECT_EQ(evaluate("mov.f64 %D, -0.5;", 8, one)[0], 0xbfe0000000000000U);
  EXPECT_EQ(evaluate("mov.f64 %D, 0d4000000000000000;", 8, one)[0], u64{1} << 62);
  EXPECT_EQ(evaluate("mov.b32 %d, -2;", 4, one)[0], 0xfffffffeU);
  EXPECT_EQ(evaluate("mov.u64 %D, -2;", 8, one)[0], ~u64{1});
  EXPECT_EQ(evaluate("mov.u32 %d, WARP_SZ;", 4, one)[0], 32U);
}

TEST(MoveTest, ConvertsAddressesOfSharedMemory) {
  const std::vector<Row> one = {{42, 0, 0, 0}};
  const std::string shared =
      ".shared .align 4 .b8 s[64]; mov.u64 %X0, s; add.u64 %X0, %X0, 8; st.shared.u32 [%X0], %a;"
      "cvta.shared.u64 %X1, %X0; ld.u32 %d, [%X1];";
  EXPECT_EQ(evaluate(shared, 4, one)[0], 42U);
  EXPECT_EQ(
      evaluate(shared + "cvta.to.shared.u64 %X2, %X1; sub.u64 %X2, %X2, %X0; cvt.u32.u64 %d, %X2;",
               4, one)[0],
      0U);
  const std::string asked = shared +
                            "isspacep.shared %p, %X1; selp.u32 %d, 1, 0, %p;"
                            "isspacep.global %p, %X1; @%p add.u32 %d, %d, 2;"
                            "isspacep.global %p, %out; @%p add.u32 %d, %d, 4;"
                            "isspacep.local %p, %X1; @%p add.u32 %d, %d, 8;";
  EXPECT_EQ(evaluate(asked, 4, one)[0], 5U);
}

TEST(MoveTest, KnowsWhereAThreadIs) {
  const std::string text = std::string(kHeader) + R"(
.visible .entry k(.param .u64 out)
{
  .reg .b32 %r<12>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [out];
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, %tid.y;
  mov.u32 %r3, %tid.z;
  mov.u32 %r4, %ctaid.x;
  mov.u32 %r5, %ctaid.y;
  mad.lo.s32 %r6, %r3, 100, %r2;
  mad.lo.s32 %r6, %r6, 100, %r1;
  mad.lo.s32 %r6, %r5, 10000, %r6;
  mad.lo.s32 %r6, %r4, 100000, %r6;
  mov.u32 %r7, %laneid;
  mov.u32 %r8, %warpid;
  mad.lo.s32 %r9, %r8, 32, %r7;
  mov.u32 %r10, %nctaid.x;
  mad.lo.s32 %r11, %r5, %r10, %r4;
  mad.lo.s32 %r9, %r11, 48, %r9;
  mad.wide.u32 %rd2, %r9, 8, %rd1;
  mov.u32 %r8, %lanemask_lt;
  st.global.v2.u32 [%rd2], {%r6, %r8};
  ret;
})";
  Device device(text);
  const DeviceAddress out = device.memory.allocate(6 * 48 * 8);
  device.run("k", {.grid = {3, 2, 1}, .block = {4, 6, 2}}, {out});
  const auto values = device.memory.read<u32>(out, std::size_t{6} * 48 * 2);
  for (u32 block = 0; block < 6; ++block) {
    for (u32 thread = 0; thread < 48; ++thread) {
      const u32 i = block * 48 + thread;
      EXPECT_EQ(values[2 * i], (thread / 24 * 100 + thread / 4 % 6) * 100 + thread % 4 +
                                   block / 3 * 10000 + block % 3 * 100000);
      EXPECT_EQ(values[2 * i + 1], (1U << thread % 32) - 1);
    }
  }
}

TEST(MoveTest, TimeGoesOn) {
  const std::vector<Row> one = {{}};
  const std::string clock =
      "mov.u64 %X0, %clock64; mov.u64 %X1, %clock64;"
      "setp.ge.u64 %p, %X1, %X0; selp.u32 %d, 1, 0, %p;";
  EXPECT_EQ(evaluate(clock, 4, one)[0], 1U);
  EXPECT_GT(evaluate("mov.u64 %D, %globaltimer;", 8, one)[0], 0U);
}

}  // namespace
}  // namespace reformer::ptx
