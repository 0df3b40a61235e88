// Threads of several blocks change the same words, which come out as one after the other would
// leave them.
#include <algorithm>
#include <numeric>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::evaluate;
using testing::f;
using testing::kHeader;
using testing::Row;

// What a word holds after 4 blocks of 64 threads have done `code` to it; %t is the thread in the
// grid.
u64 after(const std::string& code, u64 initial, int host_threads = 2) {
  Device device(std::string(kHeader) + R"(
.visible .entry k(.param .u64 p)
{
  .reg .pred %p;
  .reg .b16 %h;
  .reg .b32 %t, %x, %y, %z;
  .reg .b64 %P, %T, %X;
  ld.param.u64 %P, [p];
  mov.u32 %x, %ctaid.x;
  mov.u32 %t, %tid.x;
  mad.lo.u32 %t, %x, 64, %t;
  cvt.u64.u32 %T, %t;
  )" + code + "\n  ret;\n}\n");
  const DeviceAddress p = device.memory.allocate(std::vector<u64>{initial});
  device.run("k", {.grid = {4}, .block = {64}}, {p}, {.host_threads = host_threads});
  return device.memory.read<u64>(p, 1)[0];
}

TEST(AtomicsTest, Integers) {
  EXPECT_EQ(after("red.global.add.u32 [%P], %t;", 5), 5U + 255 * 128);
  EXPECT_EQ(after("atom.global.add.u64 %X, [%P], %T;", 5), 5U + 255 * 128);
  EXPECT_EQ(after("sub.s32 %x, 7, %t; atom.global.min.s32 %y, [%P], %x;", 3),
            u32{static_cast<u32>(-248)});
  EXPECT_EQ(after("sub.s32 %x, 7, %t; atom.global.max.u32 %y, [%P], %x;", 3), 0xffffffffU);
  EXPECT_EQ(after("atom.global.max.u64 %X, [%P], %T;", 3), 255U);
  EXPECT_EQ(after("atom.global.or.b32 %y, [%P], %t;", 0x100), 0x1ffU);
  EXPECT_EQ(after("red.global.and.b32 [%P], %t;", 0xff), 0U);
  EXPECT_EQ(after("red.global.xor.b64 [%P], %T;", 1), 1U);
  EXPECT_EQ(after("atom.global.inc.u32 %y, [%P], 9;", 0), 256U % 10);
  EXPECT_EQ(after("atom.global.dec.u32 %y, [%P], 9;", 0), (10 - 256 % 10) % 10U);
}

TEST(AtomicsTest, Floats) {
  EXPECT_EQ(after("cvt.rn.f32.u32 %x, %t; red.global.add.f32 [%P], %x;", 0), f(255.0F * 128));
  EXPECT_EQ(after("cvt.rn.f64.u32 %X, %t; atom.global.add.f64 %X, [%P], %X;", 0), f(255.0 * 128));
  EXPECT_EQ(after("red.global.add.noftz.f16x2 [%P], 0x3c003800;", 0), 0x5c005800U);
  EXPECT_EQ(after("mov.b16 %h, 0x3c00; red.global.add.noftz.f16 [%P], %h;", 0), 0x5c00U);
}

TEST(AtomicsTest, ReturnsWhatWasThere) {
  const std::vector<u64> values = evaluate(
      "atom.global.exch.b32 %d, [%out], 7; ld.global.u32 %x0, [%out];"
      "mad.lo.u32 %d, %x0, 100, %d;",
      4, {{}}, {.unwritten_global = false});
  EXPECT_EQ(values[0], static_cast<u32>(0xffffffff + 700));
  const std::string swap =
      "st.global.u64 [%out], %B; atom.global.cas.b64 %D, [%out], %A, %C;"
      "ld.global.u64 %X0, [%out]; mad.lo.u64 %D, %X0, 100, %D;";
  EXPECT_EQ(evaluate(swap, 8, {{1, 1, 2, 0}, {1, 3, 2, 0}}), (std::vector<u64>{201, 303}));
}

TEST(AtomicsTest, ALockOfManyThreadsIsHeldByOneAtATime) {
  // One thread of each warp: others of a warp could not let the holder go on.
  const std::string locked = R"(
  and.b32 %x, %t, 31;
  setp.ne.u32 %p, %x, 0;
  @%p bra done;
again:
  atom.global.cas.b32 %x, [%P], 0, 1;
  setp.ne.u32 %p, %x, 0;
  @%p bra again;
  membar.gl;
  ld.volatile.global.u32 %y, [%P+4];
  add.u32 %y, %y, 1;
  nanosleep.u32 20;
  st.volatile.global.u32 [%P+4], %y;
  membar.gl;
  atom.global.exch.b32 %x, [%P], 0;
done:)";
  EXPECT_EQ(after(locked, 0, 1), u64{8} << 32);
  EXPECT_EQ(after(locked, 0, 3), u64{8} << 32);
}

TEST(AtomicsTest, SharedMemory) {
  const std::string shared =
      ".shared .align 4 .b8 s[4]; .reg .pred %q; mov.u32 %x0, %tid.x;"
      "setp.eq.u32 %q, %x0, 0; @%q st.shared.u32 [s], 0; bar.sync 0;"
      "atom.shared.add.u32 %d, [s], 1; bar.sync 0; ld.shared.u32 %d, [s];";
  EXPECT_EQ(evaluate(shared, 4, std::vector<Row>(32)), std::vector<u64>(32, 32));
}

}  // namespace
}  // namespace reformer::ptx
