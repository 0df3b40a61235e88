#include "trainer/checks/finite_differences.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/kernels/op_testing.h"

namespace reformer {
namespace {

/// Σ sin(x_i) and its gradient.
double loss_of(const Tensor& x) {
  double sum = 0;
  for (int64_t i = 0; i < x.elements(); ++i)
    sum += std::sin(static_cast<double>(x.data<float>()[i]));
  return sum;
}
std::vector<double> gradient_of(const Tensor& x) {
  std::vector<double> gradient;
  for (int64_t i = 0; i < x.elements(); ++i) {
    gradient.push_back(std::cos(static_cast<double>(x.data<float>()[i])));
  }
  return gradient;
}

TEST(FiniteDifferencesTest, ARightGradientHasRatioOne) {
  const Tensor x = testing::Random(1).normal({37});
  const Tensor before = testing::copy_of(x);
  EXPECT_NEAR(slope_ratio(x.view(), gradient_of(x), 1, [&] { return loss_of(x); }), 1, 1e-3);
  EXPECT_TRUE(testing::same_bits(x.view(), before.view()));
}

TEST(FiniteDifferencesTest, AWrongElementShows) {
  const Tensor x = testing::Random(2).normal({37});
  for (const size_t wrong : {size_t{0}, size_t{20}, size_t{36}}) {
    std::vector<double> gradient = gradient_of(x);
    gradient[wrong] += 2;
    const double ratio = slope_ratio(x.view(), gradient, 1, [&] { return loss_of(x); });
    EXPECT_GT(std::abs(ratio - 1), 0.02) << wrong;
  }
}

TEST(FiniteDifferencesTest, AWrongScaleShows) {
  const Tensor x = testing::Random(3).normal({5});
  std::vector<double> gradient = gradient_of(x);
  for (double& g : gradient) g *= 1.1;
  EXPECT_NEAR(slope_ratio(x.view(), gradient, 1, [&] { return loss_of(x); }), 1 / 1.1, 5e-3);
}

}  // namespace
}  // namespace reformer
