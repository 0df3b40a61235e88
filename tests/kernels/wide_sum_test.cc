// Sums without rounding: any order, any grouping, the same bits.
#include "kernels/core/wide_sum.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace reformer {
namespace {

WideSum sum_of(const std::vector<double>& terms) {
  WideSum sum;
  for (const double term : terms) sum.add(term);
  return sum;
}

TEST(WideSumTest, OneTermIsItself) {
  for (const double term :
       {0.0, 1.0, 3.5, 0x1.fffffffffffffp0, 0x1.fffffffffffffp127, 0x1p-128, 0x1.23456789abcdep-75,
        0x1.fffffffffffffp31, 0x1.8p-97, 0x1p-60, 1e30}) {
    EXPECT_EQ(sum_of({term}).value(), term) << term;
  }
}

TEST(WideSumTest, BitsBelowTheLowestWordAreDropped) {
  EXPECT_EQ(sum_of({0x1p-129}).value(), 0);
  EXPECT_EQ(sum_of({0x1.8p-128}).value(), 0x1p-128);
  EXPECT_EQ(sum_of({std::numeric_limits<double>::denorm_min()}).value(), 0);
}

TEST(WideSumTest, WhatDoubleWouldLoseIsKept) {
  std::vector<double> terms(1000, 0x1p-60);
  terms.push_back(0x1p60);
  WideSum sum = sum_of(terms);
  EXPECT_EQ(sum.value(), 0x1p60);
  // The small ones are still there.
  WideSum::Words words = sum.words();
  words[5] -= int64_t{1} << 28;  // 2^(32·5 − 128 + 28) = 2^60
  EXPECT_EQ(WideSum(words).value(), 1000 * 0x1p-60);
}

TEST(WideSumTest, OrderAndGroupingDoNotChangeABit) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(-100, 100);
  std::vector<double> terms;
  for (int i = 0; i < 5000; ++i) terms.push_back(std::exp2(exponent(random)));
  const WideSum expected = sum_of(terms);
  long double plain = 0;
  std::sort(terms.begin(), terms.end());
  for (const double term : terms) plain += term;
  EXPECT_NEAR(static_cast<double>(plain / static_cast<long double>(expected.value())), 1, 1e-15);
  for (int trial = 0; trial < 5; ++trial) {
    std::shuffle(terms.begin(), terms.end(), random);
    const auto middle = terms.begin() + 1000 * trial + 1;
    const WideSum left = sum_of({terms.begin(), middle});
    const WideSum right = sum_of({middle, terms.end()});
    WideSum::Words words = left.words();
    for (size_t i = 0; i < words.size(); ++i) words[i] += right.words()[i];
    EXPECT_EQ(WideSum(words).value(), expected.value());
  }
}

TEST(WideSumTest, TermsThatDoNotFitMakeItInfinite) {
  for (const double term : {0x1p128, std::numeric_limits<double>::infinity(),
                            std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_TRUE(std::isinf(sum_of({1.0, term}).value())) << term;
    EXPECT_TRUE(std::isinf(sum_of({1.0, term, term}).value())) << term;
  }
}

}  // namespace
}  // namespace reformer
