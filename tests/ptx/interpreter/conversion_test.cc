#include <cmath>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::awkward_doubles;
using testing::awkward_floats;
using testing::awkward_integers;
using testing::evaluate;
using testing::expect_each;
using testing::f;
using testing::pairs;
using testing::Row;
using testing::same;

std::vector<Row> rows_of(const std::vector<u64>& values) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < values.size(); ++i) {
    rows.push_back({values[i], values[(i * 7 + 3) % values.size()], 0, 0});
  }
  return rows;
}

TEST(ConversionTest, BetweenIntegers) {
  const auto rows = rows_of(awkward_integers());
  expect_each<u64>("cvt.u64.s32 %D, %a;", rows,
                   [](const Row& r) { return static_cast<u64>(s64{static_cast<s32>(r.a)}); });
  expect_each<s64>("cvt.s64.s16 %D, %ha;", rows,
                   [](const Row& r) { return s64{static_cast<s16>(r.a)}; });
  expect_each<u32>("cvt.u32.u8 %d, %a;", rows,
                   [](const Row& r) { return u32{static_cast<u8>(r.a)}; });
  expect_each<s32>("cvt.s32.s8 %d, %a;", rows,
                   [](const Row& r) { return s32{static_cast<s8>(r.a)}; });
  // To a register wider than the type.
  expect_each<s32>("cvt.s8.s32 %d, %a;", rows,
                   [](const Row& r) { return s32{static_cast<s8>(r.a)}; });
  expect_each<u32>("cvt.u8.u32 %d, %a;", rows,
                   [](const Row& r) { return u32{static_cast<u8>(r.a)}; });
  expect_each<u16>("cvt.u16.u64 %hd, %A;", rows,
                   [](const Row& r) { return static_cast<u16>(r.a); });
}

TEST(ConversionTest, BetweenIntegersSaturated) {
  const auto rows = rows_of(awkward_integers());
  expect_each<s32>("cvt.sat.s8.s32 %d, %a;", rows,
                   [](const Row& r) { return std::clamp(static_cast<s32>(r.a), -128, 127); });
  expect_each<u32>("cvt.sat.u8.s32 %d, %a;", rows, [](const Row& r) {
    return static_cast<u32>(std::clamp(static_cast<s32>(r.a), 0, 255));
  });
  expect_each<u16>("cvt.sat.u16.u64 %hd, %A;", rows,
                   [](const Row& r) { return static_cast<u16>(std::min<u64>(r.a, 0xffff)); });
  expect_each<s32>("cvt.sat.s32.u64 %d, %A;", rows,
                   [](const Row& r) { return static_cast<s32>(std::min<u64>(r.a, INT32_MAX)); });
  expect_each<u64>("cvt.sat.u64.s64 %D, %A;", rows,
                   [](const Row& r) { return static_cast<s64>(r.a) < 0 ? 0 : r.a; });
}

// Rounds to a whole number, then clamps; NaN as the type says.
template <class X>
X to_integer(double value, double (*round)(double), X of_nan) {
  if (std::isnan(value)) return of_nan;
  const double whole = round(value);
  if (whole >= std::ldexp(1.0, std::numeric_limits<X>::digits))
    return std::numeric_limits<X>::max();
  if (whole < static_cast<double>(std::numeric_limits<X>::min()))
    return std::numeric_limits<X>::min();
  return static_cast<X>(whole);
}

double nearest_even(double v) {
  return std::nearbyint(v);
}
double to_zero(double v) {
  return std::trunc(v);
}
double downward(double v) {
  return std::floor(v);
}
double upward(double v) {
  return std::ceil(v);
}

TEST(ConversionTest, FromFloatsToIntegers) {
  const auto rows = rows_of(awkward_floats());
  const auto check32 = [&](const std::string& mode, double (*round)(double)) {
    expect_each<s32>("cvt." + mode + ".s32.f32 %d, %a;", rows,
                     [&](const Row& r) { return to_integer<s32>(float_of(r.a), round, 0); });
    expect_each<u32>("cvt." + mode + ".u32.f32 %d, %a;", rows,
                     [&](const Row& r) { return to_integer<u32>(float_of(r.a), round, 0); });
  };
  check32("rni", nearest_even);
  check32("rzi", to_zero);
  check32("rmi", downward);
  check32("rpi", upward);
  expect_each<s64>("cvt.rzi.s64.f64 %D, %A;", rows_of(awkward_doubles()), [](const Row& r) {
    return to_integer<s64>(double_of(r.a), to_zero, INT64_MIN);
  });
  expect_each<u64>("cvt.rzi.u64.f64 %D, %A;", rows_of(awkward_doubles()), [](const Row& r) {
    return to_integer<u64>(double_of(r.a), to_zero, u64{1} << 63);
  });
  expect_each<s32>("cvt.rzi.sat.s8.f32 %d, %a;", rows,
                   [](const Row& r) { return s32{to_integer<s8>(float_of(r.a), to_zero, 0)}; });
}

TEST(ConversionTest, FromIntegersToFloats) {
  const auto rows = rows_of(awkward_integers());
  expect_each<u32>("cvt.rn.f32.s32 %d, %a;", rows, [](const Row& r) {
    return static_cast<u32>(f(static_cast<float>(static_cast<s32>(r.a))));
  });
  expect_each<u32>("cvt.rn.f32.u64 %d, %A;", rows,
                   [](const Row& r) { return static_cast<u32>(f(static_cast<float>(r.a))); });
  expect_each<u64>("cvt.rn.f64.s64 %D, %A;", rows,
                   [](const Row& r) { return f(static_cast<double>(static_cast<s64>(r.a))); });
  expect_each<u64>("cvt.rn.f64.u32 %D, %a;", rows,
                   [](const Row& r) { return f(static_cast<double>(static_cast<u32>(r.a))); });
  // 2^24 + 1 in every direction.
  const std::vector<Row> odd = {{16777217, 0, 0, 0}};
  EXPECT_EQ(evaluate("cvt.rn.f32.u32 %d, %a;", 4, odd)[0], f(16777216.0F));
  EXPECT_EQ(evaluate("cvt.rz.f32.u32 %d, %a;", 4, odd)[0], f(16777216.0F));
  EXPECT_EQ(evaluate("cvt.rp.f32.u32 %d, %a;", 4, odd)[0], f(16777218.0F));
}

TEST(ConversionTest, BetweenFloats) {
  const auto rows = rows_of(awkward_floats());
  const auto wide = evaluate("cvt.f64.f32 %D, %a;", 8, rows);
  const auto whole = evaluate("cvt.rni.f32.f32 %d, %a;", 4, rows);
  const auto unit = evaluate("cvt.sat.f32.f32 %d, %a;", 4, rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float value = float_of(rows[i].a);
    EXPECT_TRUE(same(double_of(wide[i]), double{value}));
    EXPECT_TRUE(same(float_of(whole[i]), std::nearbyint(value))) << value;
    EXPECT_EQ(float_of(unit[i]), std::isnan(value) ? 0 : std::min(1.0F, std::max(0.0F, value)));
  }
  const std::vector<Row> third = {{f(1.0 / 3), 0, 0, 0}};
  const float down = 0x1.555554p-2F;
  EXPECT_EQ(evaluate("cvt.rz.f32.f64 %d, %A;", 4, third)[0], f(down));
  EXPECT_EQ(evaluate("cvt.rp.f32.f64 %d, %A;", 4, third)[0], f(std::nextafter(down, 1.0F)));
}

TEST(ConversionTest, EveryHalfGoesToFloatAndBack) {
  std::vector<Row> rows;
  for (u64 bits = 0; bits < 0x10000; bits += 3) rows.push_back({bits, 0, 0, 0});
  const auto floats = evaluate("cvt.f32.f16 %d, %ha;", 4, rows);
  const auto halves = evaluate("cvt.f32.f16 %d, %ha; cvt.rn.f16.f32 %hd, %d;", 2, rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const u64 bits = rows[i].a;
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const double mantissa = static_cast<double>(bits & 1023);
    if (exponent == 31) continue;
    double expected =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    if (bits > 0x7fff) expected = -expected;
    EXPECT_EQ(double{float_of(floats[i])}, expected) << std::hex << bits;
    EXPECT_EQ(halves[i], bits);
  }
}

TEST(ConversionTest, RoundsToSmallFormats) {
  // Halfway between two values, and just beyond, for 11, 8 and 11 binary digits.
  const std::vector<Row> rows = {{f(1 + 0x1p-11F), f(1 + 0x1p-8F), 0, 0},
                                 {f(1 + 0x1.8p-10F), f(1 + 0x1.8p-7F), 0, 0},
                                 {f(-1 - 0x1.1p-11F), f(-1 - 0x1.1p-8F), 0, 0},
                                 {f(65520.0F), f(0x1.ffp127F), 0, 0},
                                 {f(0x1p-25F), f(0x1p-134F), 0, 0},
                                 {f(0x1.8p-25F), f(0x1.8p-134F), 0, 0},
                                 {0x7fc00000, 0x7fc00000, 0, 0}};
  EXPECT_EQ(evaluate("cvt.rn.f16.f32 %hd, %a;", 2, rows),
            (std::vector<u64>{0x3c00, 0x3c02, 0xbc01, 0x7c00, 0, 1, 0x7fff}));
  EXPECT_EQ(evaluate("cvt.rz.f16.f32 %hd, %a;", 2, rows),
            (std::vector<u64>{0x3c00, 0x3c01, 0xbc00, 0x7bff, 0, 0, 0x7fff}));
  EXPECT_EQ(evaluate("cvt.rn.bf16.f32 %hd, %b;", 2, rows),
            (std::vector<u64>{0x3f80, 0x3f82, 0xbf81, 0x7f80, 0, 1, 0x7fff}));
  EXPECT_EQ(evaluate("cvt.rz.bf16.f32 %hd, %b;", 2, rows),
            (std::vector<u64>{0x3f80, 0x3f81, 0xbf80, 0x7f7f, 0, 0, 0x7fff}));
  const auto pair = evaluate("cvt.rn.bf16x2.f32 %d, %b, %a;", 4, rows);
  EXPECT_EQ(pair[1], 0x3f823f80U);
  EXPECT_EQ(evaluate("cvt.rn.f16x2.f32 %d, %b, %a;", 4, rows)[2], 0xbc04bc01U);
  EXPECT_EQ(evaluate("cvt.rn.relu.bf16x2.f32 %d, %b, %a;", 4, rows)[2], 0U);
}

TEST(ConversionTest, RoundsToTf32AwayFromZero) {
  const std::vector<Row> rows = {{f(1 + 0x1p-11F), 0, 0, 0},
                                 {f(1 + 0x1.ffcp-12F), 0, 0, 0},
                                 {f(-1 - 0x1p-11F), 0, 0, 0},
                                 {0x7f800000, 0, 0, 0}};
  EXPECT_EQ(evaluate("cvt.rna.tf32.f32 %d, %a;", 4, rows),
            (std::vector<u64>{0x3f802000, 0x3f800000, 0xbf802000, 0x7f800000}));
}

TEST(ConversionTest, RefusesWhatPtxRefuses) {
  EXPECT_CONTAINS(testing::parse_error(testing::kernel_around("cvt.s32.f32 %d, %a;", 4)),
                  "unknown instruction `cvt.s32.f32`");
  EXPECT_CONTAINS(testing::parse_error(testing::kernel_around("cvt.rn.tf32.f32 %d, %a;", 4)),
                  "unknown instruction `cvt.rn.tf32.f32`");
}

}  // namespace
}  // namespace reformer::ptx
