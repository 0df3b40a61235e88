// Float arithmetic against the CPU's, and against exact sums where it has no such format.
#include <cfenv>
#include <cmath>
#include <limits>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::awkward_doubles;
using testing::awkward_floats;
using testing::evaluate;
using testing::f;
using testing::pairs;
using testing::Row;
using testing::same;

float x(u64 bits) {
  return float_of(bits);
}

void expect_floats(const std::string& code, const std::vector<Row>& rows,
                   const std::function<float(const Row&)>& expected) {
  const auto values = evaluate(code, 4, rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_PRED2([](float a, float b) { return same(a, b); }, x(values[i]), expected(rows[i]))
        << code << " of " << x(rows[i].a) << ", " << x(rows[i].b) << ", " << x(rows[i].c);
  }
}

void expect_doubles(const std::string& code, const std::vector<Row>& rows,
                    const std::function<double(const Row&)>& expected) {
  const auto values = evaluate(code, 8, rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_PRED2([](double a, double b) { return same(a, b); }, double_of(values[i]),
                 expected(rows[i]))
        << code << " of " << double_of(rows[i].a) << ", " << double_of(rows[i].b);
  }
}

const std::vector<Row>& floats() {
  static const std::vector<Row> all = pairs(awkward_floats());
  return all;
}
const std::vector<Row>& doubles() {
  static const std::vector<Row> all = pairs(awkward_doubles());
  return all;
}

TEST(FloatTest, ComputesAsTheProcessorDoes) {
  expect_floats("add.f32 %d, %a, %b;", floats(), [](const Row& r) { return x(r.a) + x(r.b); });
  expect_floats("sub.rn.f32 %d, %a, %b;", floats(), [](const Row& r) { return x(r.a) - x(r.b); });
  expect_floats("mul.f32 %d, %a, %b;", floats(), [](const Row& r) { return x(r.a) * x(r.b); });
  expect_floats("div.rn.f32 %d, %a, %b;", floats(), [](const Row& r) { return x(r.a) / x(r.b); });
  expect_floats("fma.rn.f32 %d, %a, %b, %c;", floats(),
                [](const Row& r) { return std::fma(x(r.a), x(r.b), x(r.c)); });
  expect_floats("sqrt.rn.f32 %d, %a;", floats(), [](const Row& r) { return std::sqrt(x(r.a)); });
  expect_floats("rcp.rn.f32 %d, %a;", floats(), [](const Row& r) { return 1 / x(r.a); });
  expect_doubles("add.f64 %D, %A, %B;", doubles(),
                 [](const Row& r) { return double_of(r.a) + double_of(r.b); });
  expect_doubles("div.rn.f64 %D, %A, %B;", doubles(),
                 [](const Row& r) { return double_of(r.a) / double_of(r.b); });
  expect_doubles("fma.rn.f64 %D, %A, %B, %C;", doubles(), [](const Row& r) {
    return std::fma(double_of(r.a), double_of(r.b), double_of(r.c));
  });
}

// Computed at run time in that rounding mode.
template <class X, class F>
X rounded(int mode, F compute) {
  std::fesetround(mode);
  volatile X result = compute();
  std::fesetround(FE_TONEAREST);
  return result;
}

TEST(FloatTest, RoundsAsAsked) {
  const std::vector<std::pair<std::string, int>> modes = {
      {"rn", FE_TONEAREST}, {"rz", FE_TOWARDZERO}, {"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}};
  for (const auto& [name, mode] : modes) {
    expect_floats("add." + name + ".f32 %d, %a, %b;", floats(), [mode = mode](const Row& r) {
      volatile float a = x(r.a), b = x(r.b);
      return rounded<float>(mode, [&] { return a + b; });
    });
    expect_floats("mul." + name + ".f32 %d, %a, %b;", floats(), [mode = mode](const Row& r) {
      volatile float a = x(r.a), b = x(r.b);
      return rounded<float>(mode, [&] { return a * b; });
    });
    expect_doubles("div." + name + ".f64 %D, %A, %B;", doubles(), [mode = mode](const Row& r) {
      volatile double a = double_of(r.a), b = double_of(r.b);
      return rounded<double>(mode, [&] { return a / b; });
    });
  }
  // 1 + 2^-30 in every direction.
  const std::vector<Row> one = {{f(1.0F), f(0x1p-30F), 0, 0}};
  EXPECT_EQ(evaluate("add.rn.f32 %d, %a, %b;", 4, one)[0], f(1.0F));
  EXPECT_EQ(evaluate("add.rp.f32 %d, %a, %b;", 4, one)[0], f(std::nextafter(1.0F, 2.0F)));
  EXPECT_EQ(evaluate("sub.rz.f32 %d, %a, %b;", 4, one)[0], f(std::nextafter(1.0F, 0.0F)));
}

TEST(FloatTest, FlushesSubnormals) {
  const auto flush = [](float v) {
    return std::fpclassify(v) == FP_SUBNORMAL ? std::copysign(0.0F, v) : v;
  };
  expect_floats("add.ftz.f32 %d, %a, %b;", floats(),
                [&](const Row& r) { return flush(flush(x(r.a)) + flush(x(r.b))); });
  expect_floats("fma.rn.ftz.f32 %d, %a, %b, %c;", floats(), [&](const Row& r) {
    return flush(std::fma(flush(x(r.a)), flush(x(r.b)), flush(x(r.c))));
  });
  expect_floats("neg.ftz.f32 %d, %a;", floats(), [&](const Row& r) { return -flush(x(r.a)); });
}

TEST(FloatTest, SaturatesToTheUnitInterval) {
  expect_floats("add.sat.f32 %d, %a, %b;", floats(), [](const Row& r) {
    const float sum = x(r.a) + x(r.b);
    return std::isnan(sum) ? 0.0F : std::min(1.0F, std::max(0.0F, sum));
  });
}

TEST(FloatTest, ExtremesOfZerosAndNan) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<Row> rows = {{f(-0.0F), f(0.0F), 0, 0}, {f(0.0F), f(-0.0F), 0, 0},
                                 {f(nan), f(2.0F), 0, 0},   {f(2.0F), f(nan), 0, 0},
                                 {f(nan), f(nan), 0, 0},    {f(3.0F), f(2.0F), 0, 0}};
  const auto check = [&](const std::string& code, const std::vector<float>& expected) {
    const auto values = evaluate(code, 4, rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_TRUE(same(x(values[i]), expected[i])) << code << " " << i << ": " << x(values[i]);
    }
  };
  check("min.f32 %d, %a, %b;", {-0.0F, -0.0F, 2, 2, nan, 2});
  check("max.f32 %d, %a, %b;", {0.0F, 0.0F, 2, 2, nan, 3});
  check("min.NaN.f32 %d, %a, %b;", {-0.0F, -0.0F, nan, nan, nan, 2});
  check("max.NaN.f32 %d, %a, %b;", {0.0F, 0.0F, nan, nan, nan, 3});
}

TEST(FloatTest, Signs) {
  expect_floats("neg.f32 %d, %a;", floats(), [](const Row& r) { return -x(r.a); });
  expect_floats("abs.f32 %d, %a;", floats(), [](const Row& r) { return std::fabs(x(r.a)); });
  expect_floats("copysign.f32 %d, %a, %b;", floats(),
                [](const Row& r) { return std::copysign(x(r.b), x(r.a)); });
  testing::expect_each<u32>("neg.f16x2 %d, %a;", floats(),
                            [](const Row& r) { return static_cast<u32>(r.a) ^ 0x80008000; });
  testing::expect_each<u16>("abs.bf16 %hd, %ha;", floats(),
                            [](const Row& r) { return static_cast<u16>(r.a & 0x7fff); });
}

TEST(FloatTest, ApproximateFunctionsAreClose) {
  std::vector<Row> rows;
  for (float v = 0.01F; v < 20; v *= 1.3F) rows.push_back({f(v), 0, 0, 0});
  const auto check = [&](const std::string& opcode, double (*function)(double)) {
    const auto values = evaluate(opcode + " %d, %a;", 4, rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double expected = function(x(rows[i].a));
      EXPECT_NEAR(x(values[i]), expected, 1e-6 * (1 + std::fabs(expected))) << opcode;
    }
  };
  check("ex2.approx.ftz.f32", [](double v) { return std::exp2(v); });
  check("lg2.approx.f32", [](double v) { return std::log2(v); });
  check("sin.approx.f32", [](double v) { return std::sin(v); });
  check("cos.approx.f32", [](double v) { return std::cos(v); });
  check("tanh.approx.f32", [](double v) { return std::tanh(v); });
  check("rsqrt.approx.f32", [](double v) { return 1 / std::sqrt(v); });
  check("rcp.approx.ftz.f32", [](double v) { return 1 / v; });
  check("sqrt.approx.f32", [](double v) { return std::sqrt(v); });
}

// Rounds to a format of `digits` binary digits whose least normal exponent is `least`, by exact
// arithmetic.
double to_format(double value, int digits, int least, double most) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), least) - (digits - 1);
  const double rounded_value = std::ldexp(std::nearbyint(std::ldexp(value, -exponent)), exponent);
  return std::fabs(rounded_value) > most ? std::copysign(INFINITY, value) : rounded_value;
}

std::vector<Row> small_floats() {
  std::vector<u64> values;
  for (u64 bits = 0; bits < 0x10000; bits += 1009) values.push_back(bits << 16 | (bits ^ 0x8421));
  values.push_back(0x3c003c00);
  values.push_back(0x00010001);
  values.push_back(0x7bff0400);
  return pairs(values);
}

void expect_small(const std::string& code, std::size_t bytes, bool half,
                  const std::function<double(double, double, double)>& exact) {
  const auto widen = [&](u64 bits) { return half ? half_to_float(bits) : bfloat_to_float(bits); };
  const std::vector<Row> rows = small_floats();
  const auto values = evaluate(code, bytes, rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (int shift = 0; shift < static_cast<int>(bytes) * 8; shift += 16) {
      const double sum =
          exact(widen(rows[i].a >> shift), widen(rows[i].b >> shift), widen(rows[i].c >> shift));
      const double expected =
          half ? to_format(sum, 11, -14, 65504.0) : to_format(sum, 8, -126, 0x1.fep127);
      const double value = widen(values[i] >> shift);
      EXPECT_TRUE(same(value, expected)) << code << ": " << value << ", not " << expected;
    }
  }
}

TEST(FloatTest, SmallFormats) {
  const auto add = [](double a, double b, double) { return a + b; };
  const auto multiply = [](double a, double b, double) { return a * b; };
  const auto fuse = [](double a, double b, double c) { return std::fma(a, b, c); };
  expect_small("add.f16 %hd, %ha, %hb;", 2, true, add);
  expect_small("mul.f16x2 %d, %a, %b;", 4, true, multiply);
  expect_small("fma.rn.f16x2 %d, %a, %b, %c;", 4, true, fuse);
  expect_small("add.rn.bf16x2 %d, %a, %b;", 4, false, add);
  expect_small("mul.bf16 %hd, %ha, %hb;", 2, false, multiply);
  expect_small("fma.rn.bf16 %hd, %ha, %hb, %hc;", 2, false, fuse);
  expect_small("fma.rn.bf16x2 %d, %a, %b, %c;", 4, false, fuse);
  expect_small("fma.rn.relu.bf16x2 %d, %a, %b, %c;", 4, false, [](double a, double b, double c) {
    const double result = std::fma(a, b, c);
    return std::isnan(result) ? result : std::max(0.0, result);
  });
}

}  // namespace
}  // namespace reformer::ptx
