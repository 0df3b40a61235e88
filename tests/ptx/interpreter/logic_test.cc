// Logic and shifts against loops over single bits.
#include <algorithm>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::awkward_integers;
using testing::evaluate;
using testing::expect_each;
using testing::pairs;
using testing::Row;

const std::vector<Row>& rows() {
  static const std::vector<Row> all = pairs(awkward_integers());
  return all;
}
u32 low(u64 v) {
  return static_cast<u32>(v);
}
bool bit(u64 v, u32 i) {
  return (v >> i & 1) != 0;
}

TEST(LogicTest, Logic) {
  expect_each<u32>("and.b32 %d, %a, %b;", rows(), [](const Row& r) { return low(r.a & r.b); });
  expect_each<u64>("or.b64 %D, %A, %B;", rows(), [](const Row& r) { return r.a | r.b; });
  expect_each<u16>("xor.b16 %hd, %ha, %hb;", rows(),
                   [](const Row& r) { return static_cast<u16>(r.a ^ r.b); });
  expect_each<u16>("not.b16 %hd, %ha;", rows(),
                   [](const Row& r) { return static_cast<u16>(~r.a); });
  expect_each<u32>("cnot.b32 %d, %a;", rows(),
                   [](const Row& r) { return low(r.a) == 0 ? 1U : 0U; });
  expect_each<u32>(
      "setp.ne.u32 %p, %a, 0; setp.ne.u32 %q, %b, 0; and.pred %p, %p, %q; not.pred %p, %p;"
      "selp.u32 %d, 1, 0, %p;",
      rows(), [](const Row& r) { return low(r.a) != 0 && low(r.b) != 0 ? 0U : 1U; });
}

TEST(LogicTest, ShiftsBeyondTheWidth) {
  expect_each<u32>("shl.b32 %d, %a, %b;", rows(),
                   [](const Row& r) { return low(r.b) > 31 ? 0 : low(r.a) << low(r.b); });
  expect_each<u16>("shr.u16 %hd, %ha, %b;", rows(), [](const Row& r) {
    return static_cast<u16>(low(r.b) > 15 ? 0 : static_cast<u16>(r.a) >> low(r.b));
  });
  expect_each<s64>("shr.s64 %D, %A, %b;", rows(), [](const Row& r) {
    return static_cast<s64>(r.a) >> std::min<u32>(low(r.b), 63);
  });
  expect_each<s32>("shr.s32 %d, %a, %b;", rows(), [](const Row& r) {
    return static_cast<s32>(r.a) >> std::min<u32>(low(r.b), 31);
  });
  expect_each<u64>("shl.b64 %D, %A, %b;", rows(),
                   [](const Row& r) { return low(r.b) > 63 ? 0 : r.a << low(r.b); });
}

TEST(LogicTest, FunnelShifts) {
  const auto both = [](const Row& r) { return u64{low(r.b)} << 32 | low(r.a); };
  expect_each<u32>("shf.l.wrap.b32 %d, %a, %b, %c;", rows(),
                   [&](const Row& r) { return low(both(r) << (r.c & 31) >> 32); });
  expect_each<u32>("shf.r.wrap.b32 %d, %a, %b, %c;", rows(),
                   [&](const Row& r) { return low(both(r) >> (r.c & 31)); });
  expect_each<u32>("shf.l.clamp.b32 %d, %a, %b, %c;", rows(), [&](const Row& r) {
    const u32 shift = std::min<u32>(low(r.c), 32);
    return shift == 32 ? low(r.a) : low(both(r) << shift >> 32);
  });
  expect_each<u32>("shf.r.clamp.b32 %d, %a, %b, %c;", rows(),
                   [&](const Row& r) { return low(both(r) >> std::min<u32>(low(r.c), 32)); });
}

TEST(LogicTest, LooksUpThreeInputs) {
  for (const u32 table : {0U, 0x96U, 0xe8U, 0xcaU, 0x1bU, 0xffU}) {
    const auto expected = [&](const Row& r) {
      u32 result = 0;
      for (u32 i = 0; i < 32; ++i) {
        const u32 index =
            (bit(r.a, i) ? 4U : 0U) + (bit(r.b, i) ? 2U : 0U) + (bit(r.c, i) ? 1U : 0U);
        result |= (table >> index & 1) << i;
      }
      return result;
    };
    expect_each<u32>("lop3.b32 %d, %a, %b, %c, " + std::to_string(table) + ";", rows(), expected);
    expect_each<u32>("setp.ne.u32 %q, %e, 0; lop3.and.b32 %x0|%p, %a, %b, %c, " +
                         std::to_string(table) + ", !%q; selp.u32 %d, 1, 0, %p;",
                     rows(),
                     [&](const Row& r) { return expected(r) != 0 && low(r.e) == 0 ? 1U : 0U; });
  }
}

TEST(LogicTest, PermutesBytes) {
  expect_each<u32>("prmt.b32 %d, %a, %b, %c;", rows(), [](const Row& r) {
    const u64 both = u64{low(r.b)} << 32 | low(r.a);
    u32 result = 0;
    for (int i = 0; i < 4; ++i) {
      const u32 selector = low(r.c) >> (4 * i) & 15;
      u32 byte = static_cast<u32>(both >> (8 * (selector & 7))) & 255;
      if (selector > 7) byte = byte > 127 ? 255 : 0;
      result |= byte << (8 * i);
    }
    return result;
  });
  const std::vector<Row> one = {{0x33221100, 0x77665544, 1, 0}};
  EXPECT_EQ(evaluate("prmt.b32.f4e %d, %a, %b, %c;", 4, one)[0], 0x44332211U);
  EXPECT_EQ(evaluate("prmt.b32.b4e %d, %a, %b, %c;", 4, one)[0], 0x66770011U);
  EXPECT_EQ(evaluate("prmt.b32.rc8 %d, %a, %b, %c;", 4, one)[0], 0x11111111U);
  EXPECT_EQ(evaluate("prmt.b32.ecl %d, %a, %b, %c;", 4, one)[0], 0x33221111U);
  EXPECT_EQ(evaluate("prmt.b32.ecr %d, %a, %b, %c;", 4, one)[0], 0x11111100U);
  EXPECT_EQ(evaluate("prmt.b32.rc16 %d, %a, %b, %c;", 4, one)[0], 0x33223322U);
}

}  // namespace
}  // namespace reformer::ptx
