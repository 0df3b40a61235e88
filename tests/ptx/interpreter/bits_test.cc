// Instructions on bits against loops over single bits.
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

template <class X>
X extracted(const Row& r) {
  constexpr u32 kWidth = 8 * sizeof(X);
  const u32 begin = low(r.b) & 255, length = low(r.c) & 255;
  const auto value = static_cast<std::make_unsigned_t<X>>(r.a);
  const bool sign =
      std::is_signed_v<X> && length > 0 && bit(value, std::min(begin + length - 1, kWidth - 1));
  u64 result = 0;
  for (u32 i = 0; i < kWidth; ++i) {
    const bool one = i < length && begin + i < kWidth ? bit(value, begin + i) : sign;
    result |= u64{one} << i;
  }
  return static_cast<X>(result);
}

TEST(BitsTest, ExtractsFields) {
  expect_each<u32>("bfe.u32 %d, %a, %b, %c;", rows(), extracted<u32>);
  expect_each<s32>("bfe.s32 %d, %a, %b, %c;", rows(), extracted<s32>);
  expect_each<u64>("bfe.u64 %D, %A, %b, %c;", rows(), extracted<u64>);
  expect_each<s64>("bfe.s64 %D, %A, %b, %c;", rows(), extracted<s64>);
}

template <class X>
X inserted(const Row& r) {
  const u32 begin = low(r.c) & 255, length = low(r.e) & 255;
  u64 result = static_cast<X>(r.b);
  for (u32 i = 0; i < length && begin + i < 8 * sizeof(X); ++i) {
    result = (result & ~(u64{1} << (begin + i))) | (u64{bit(r.a, i)} << (begin + i));
  }
  return static_cast<X>(result);
}

TEST(BitsTest, InsertsFields) {
  expect_each<u32>("bfi.b32 %d, %a, %b, %c, %e;", rows(), inserted<u32>);
  expect_each<u64>("bfi.b64 %D, %A, %B, %c, %e;", rows(), inserted<u64>);
}

TEST(BitsTest, CountsAndFinds) {
  expect_each<u32>("popc.b64 %d, %A;", rows(),
                   [](const Row& r) { return static_cast<u32>(std::popcount(r.a)); });
  expect_each<u32>("clz.b32 %d, %a;", rows(),
                   [](const Row& r) { return static_cast<u32>(std::countl_zero(low(r.a))); });
  expect_each<u32>("clz.b64 %d, %A;", rows(),
                   [](const Row& r) { return static_cast<u32>(std::countl_zero(r.a)); });
  expect_each<u32>("brev.b32 %d, %a;", rows(), [](const Row& r) {
    u32 result = 0;
    for (u32 i = 0; i < 32; ++i) result |= u32{bit(r.a, i)} << (31 - i);
    return result;
  });
  const auto top = [](u64 value, int width) {
    for (int i = width - 1; i >= 0; --i) {
      if (bit(value, static_cast<u32>(i))) return i;
    }
    return -1;
  };
  expect_each<s32>("bfind.u32 %d, %a;", rows(), [&](const Row& r) { return top(low(r.a), 32); });
  expect_each<s32>("bfind.s64 %d, %A;", rows(),
                   [&](const Row& r) { return top(static_cast<s64>(r.a) < 0 ? ~r.a : r.a, 64); });
  expect_each<s32>("bfind.shiftamt.u32 %d, %a;", rows(), [&](const Row& r) {
    const int found = top(low(r.a), 32);
    return found < 0 ? -1 : 31 - found;
  });
}

TEST(BitsTest, MakesMasksAndExtends) {
  expect_each<u32>("bmsk.clamp.b32 %d, %a, %b;", rows(), [](const Row& r) {
    u32 result = 0;
    for (u64 i = low(r.a); i < 32 && i < u64{low(r.a)} + low(r.b); ++i) result |= u32{1} << i;
    return result;
  });
  expect_each<s32>("szext.clamp.s32 %d, %a, %b;", rows(), [](const Row& r) {
    const u32 length = low(r.b);
    if (length == 0) return 0;
    const u32 unused = 32 - std::min<u32>(length, 32);
    return static_cast<s32>(low(r.a) << unused) >> unused;
  });
}

TEST(BitsTest, FindsTheNthSetBit) {
  const std::vector<Row> some = {
      {0b1011010, 1, 1, 0}, {0b1011010, 1, 2, 0}, {0b1011010, 5, u64{0xfffffffe}, 0},
      {0b1011010, 4, 0, 0}, {0b1011010, 5, 0, 0}, {0b1011010, 4, 3, 0}};
  EXPECT_EQ(evaluate("fns.b32 %d, %a, %b, %c;", 4, some),
            (std::vector<u64>{1, 3, 3, 4, 0xffffffff, 0xffffffff}));
}

}  // namespace
}  // namespace reformer::ptx
