#include "kernels/core/fixed_point.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/op_testing.h"

namespace reformer {
namespace {

using testing::Random;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr double kNoLimit = 0x1p62;

struct Converted {
  uint32_t bits;
  bool saturated;

  friend bool operator==(const Converted&, const Converted&) = default;
};

Converted to_stream(float value) {
  Converted result{0, false};
  result.bits = stream_from_float(value, &result.saturated);
  return result;
}

uint32_t steps(int32_t count) {
  return static_cast<uint32_t>(count);
}

TEST(Fixed32, KnownValues) {
  EXPECT_EQ(to_stream(0.0f), (Converted{0, false}));
  EXPECT_EQ(to_stream(-0.0f), (Converted{0, false}));
  EXPECT_EQ(to_stream(1.0f), (Converted{1u << 18, false}));
  EXPECT_EQ(to_stream(-1.0f), (Converted{steps(-(1 << 18)), false}));
  EXPECT_EQ(to_stream(kStreamStep), (Converted{1, false}));
  EXPECT_EQ(to_stream(std::numeric_limits<float>::denorm_min()), (Converted{0, false}));
  EXPECT_EQ(stream_to_float(1u << 18), 1.0f);
  EXPECT_EQ(stream_to_float(steps(-1)), -kStreamStep);
  EXPECT_EQ(stream_to_float(0x80000000u), -8192.0f);
}

TEST(Fixed32, RoundsToNearestTiesToEven) {
  const std::pair<float, int32_t> cases[] = {
      {0.5f, 0},   {1.5f, 2},  {2.5f, 2},  {3.5f, 4},  {-0.5f, 0},   {-1.5f, -2},
      {-2.5f, -2}, {0.75f, 1}, {1.25f, 1}, {2.75f, 3}, {-1.25f, -1}, {4194303.5f, 4194304}};
  for (const auto& [value, expected] : cases) {
    EXPECT_EQ(to_stream(value * kStreamStep), (Converted{steps(expected), false})) << value;
    EXPECT_EQ(to_stream(-value * kStreamStep), (Converted{steps(-expected), false})) << -value;
  }
}

TEST(Fixed32, ErrorIsAtMostHalfAStep) {
  Random random(1);
  const Tensor values = random.normal({10000}, 20.0f);
  for (int64_t i = 0; i < values.elements(); ++i) {
    const float value = values.data<float>()[i];
    const auto bits = static_cast<int32_t>(to_stream(value).bits);
    const double error = static_cast<double>(bits) * 0x1p-18 - static_cast<double>(value);
    ASSERT_LE(std::abs(error), 0x1p-19) << value;
  }
}

TEST(Fixed32, SaturatesAtTheEndsOfTheRange) {
  EXPECT_EQ(to_stream(std::nextafter(8192.0f, 0.0f)), (Converted{0x7fffff80u, false}));
  EXPECT_EQ(to_stream(8192.0f), (Converted{0x7fffffffu, true}));
  EXPECT_EQ(to_stream(std::numeric_limits<float>::max()), (Converted{0x7fffffffu, true}));
  EXPECT_EQ(to_stream(kInfinity), (Converted{0x7fffffffu, true}));
  EXPECT_EQ(to_stream(-8192.0f), (Converted{0x80000000u, false}));
  EXPECT_EQ(to_stream(std::nextafter(-8192.0f, -kInfinity)), (Converted{0x80000000u, true}));
  EXPECT_EQ(to_stream(-kInfinity), (Converted{0x80000000u, true}));
  EXPECT_EQ(to_stream(kNaN), (Converted{0, true}));
  EXPECT_EQ(to_stream(-kNaN), (Converted{0, true}));
}

TEST(Fixed32, LeavesAnEarlierSaturationAlone) {
  bool saturated = true;
  stream_from_float(1.0f, &saturated);
  EXPECT_TRUE(saturated);
}

TEST(Fixed32, FloatsGoThereAndBack) {
  // Every float that is a multiple of the step and in range.
  Random random(2);
  for (int i = 0; i < 10000; ++i) {
    const auto mantissa = static_cast<float>(random.integer(-(1 << 24) + 1, (1 << 24) - 1));
    const float value = std::ldexp(mantissa, static_cast<int>(random.integer(-18, -11)));
    ASSERT_EQ(stream_to_float(to_stream(value).bits), value);
  }
}

TEST(Fixed32, SubtractionUndoesAddition) {
  Random random(3);
  std::vector<float> additions{0.0f,     kStreamStep, -kStreamStep, 8191.0f,  -8192.0f,
                               1e30f,    -1e30f,      kInfinity,    kNaN,     0.3f * kStreamStep,
                               4096.03f, -4096.03f,   1e-30f,       1.0f / 3, -1.0f / 3};
  const Tensor ordinary = random.normal({200});
  additions.insert(additions.end(), ordinary.data<float>(), ordinary.data<float>() + 200);
  std::vector<uint32_t> streams{0, 1, 0x7fffffffu, 0x80000000u, 0xffffffffu};
  for (int i = 0; i < 100; ++i) {
    streams.push_back(static_cast<uint32_t>(random.integer(0, 0xffffffff)));
  }
  for (const uint32_t x : streams) {
    // A whole pass of additions, then all of it undone, wrap-around included.
    uint32_t stream = x;
    for (const float f : additions) stream += to_stream(f).bits;
    ASSERT_NE(stream, x);
    for (auto f = additions.rbegin(); f != additions.rend(); ++f) stream -= to_stream(*f).bits;
    ASSERT_EQ(stream, x);
  }
}

struct Term {
  int64_t units;
  bool overflowed;

  friend bool operator==(const Term&, const Term&) = default;
};

Term to_term(double value, double limit) {
  Term result{0, false};
  result.units = sum_term(value, limit, &result.overflowed);
  return result;
}

TEST(SumTerm, KnownValues) {
  EXPECT_EQ(to_term(0.0, kNoLimit), (Term{0, false}));
  EXPECT_EQ(to_term(1.0, kNoLimit), (Term{int64_t{1} << 44, false}));
  EXPECT_EQ(to_term(-3.0 * kSumStep, kNoLimit), (Term{-3, false}));
  EXPECT_EQ(to_term(1e-300, kNoLimit), (Term{0, false}));
  EXPECT_EQ(to_term(0x1p17, kNoLimit), (Term{int64_t{1} << 61, false}));
}

TEST(SumTerm, RoundsToNearestTiesToEven) {
  const std::pair<double, int64_t> cases[] = {{0.5, 0},
                                              {1.5, 2},
                                              {2.5, 2},
                                              {3.5, 4},
                                              {0.51, 1},
                                              {2.4999, 2},
                                              {1e9, 1'000'000'000},
                                              {0x1p51 + 0.5, int64_t{1} << 51},
                                              {0x1p51 + 1.5, (int64_t{1} << 51) + 2}};
  for (const auto& [value, expected] : cases) {
    EXPECT_EQ(to_term(value * kSumStep, kNoLimit), (Term{expected, false})) << value;
    EXPECT_EQ(to_term(-value * kSumStep, kNoLimit), (Term{-expected, false})) << -value;
  }
}

TEST(SumTerm, TermsAtTheLimitAreFaults) {
  const std::pair<double, Term> cases[] = {{6.0, {6, false}},  {6.5, {6, false}},  // to even
                                           {6.51, {0, true}},  {7.0, {0, true}},  {8.0, {0, true}},
                                           {1e300, {0, true}}, {0.0, {0, false}}};
  for (const auto& [value, expected] : cases) {
    EXPECT_EQ(to_term(value * kSumStep, 7), expected) << value;
    EXPECT_EQ(to_term(-value * kSumStep, 7), (Term{-expected.units, expected.overflowed}));
  }
  EXPECT_EQ(to_term(0x1p18, kNoLimit), (Term{0, true}));
  EXPECT_EQ(to_term(std::nextafter(0x1p18, 0.0), kNoLimit).overflowed, false);
  for (const double value :
       {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
        std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(to_term(value, kNoLimit), (Term{0, true}));
  }
}

TEST(SumTerm, LeavesAnEarlierOverflowAlone) {
  bool overflowed = true;
  sum_term(1.0, kNoLimit, &overflowed);
  EXPECT_TRUE(overflowed);
}

}  // namespace
}  // namespace reformer
