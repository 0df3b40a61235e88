#include "tests/reference/gemm.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/backend_under_test.h"
#include "tests/kernels/op_testing.h"
#include "tests/kernels/row_testing.h"

namespace reformer {
namespace {

using reference::Matrix;
using testing::copy_of;
using testing::Doubles;
using testing::floats;
using testing::layout_of;
using Random = testing::ActivationRandom;
using testing::relative_error;
using testing::same_bits;
using testing::TestGradientSum;
using testing::to_doubles;

// Single precision against double, relative to the largest element: sums of up to 1030 products of
// normal numbers.
constexpr double kTolerance = 2e-6;
// The same of results that are activations: BFloat16 has 8 bits for them.
const double kActivationTolerance = testing::bound(kTolerance, 4e-3);
// Against central differences, which add their own error.
constexpr double kDifferenceTolerance = 1e-5;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// A layer and a batch for it.
struct Layer {
  TokenLayout layout;
  Tensor x;
  Tensor weight;
  Tensor bias;
  Tensor dy;

  int64_t in() const { return weight.shape()[0]; }
  int64_t out() const { return weight.shape()[1]; }
};

Layer random_layer(Random& random, const TokenLayout& layout, int64_t in, int64_t out) {
  return {.layout = layout,
          .x = random.normal({layout.rows(), in}),
          .weight = random.normal({in, out}),
          .bias = random.normal({out}),
          .dy = random.normal({layout.rows(), out})};
}

/// One row and column, no multiple of anything, no rows; in and out of one block and of several;
/// tiles and leaves of 4 and 8 tokens that begin inside a leaf, and of 128 and 256; more leaves
/// than are added at a time.
std::vector<Layer> layers() {
  const TokenLayout large{.samples = 2, .length = 300, .tile = 128, .leaf = 256};
  Random random(1);
  std::vector<Layer> result;
  result.push_back(random_layer(random, layout_of(1, 1), 1, 1));
  result.push_back(random_layer(random, layout_of(2, 3), 3, 5));
  result.push_back(random_layer(random, layout_of(3, 19), 64, 256));
  result.push_back(random_layer(random, layout_of(1, 30), 1, 70));
  result.push_back(random_layer(random, layout_of(2, 9), 130, 300));
  result.push_back(random_layer(random, layout_of(1, 17), 257, 1));
  result.push_back(random_layer(random, layout_of(1, 0), 8, 16));
  result.push_back(random_layer(random, layout_of(1, 6), 1030, 520));
  result.push_back(random_layer(random, large, 40, 30));
  result.push_back(random_layer(random, layout_of(70, 9), 7, 24));
  return result;
}

/// Outputs are NaN until they are written.
Tensor unwritten(const Shape& shape) {
  Tensor tensor = floats(shape);
  std::fill_n(tensor.data<float>(), tensor.elements(), kNaN);
  return tensor;
}

Matrix to_matrix(const Tensor& tensor) {
  return {static_cast<size_t>(tensor.shape()[0]), static_cast<size_t>(tensor.shape()[1]),
          to_doubles(tensor)};
}

Tensor linear(Backend& backend, const Layer& layer) {
  Tensor y = unwritten(layer.dy.shape());
  backend.linear({.layout = layer.layout,
                  .x = layer.x.view(),
                  .weight = layer.weight.view(),
                  .bias = layer.bias.view(),
                  .y = y.view()});
  return y;
}

Tensor backward_input(Backend& backend, const Layer& layer) {
  Tensor dx = unwritten(layer.x.shape());
  backend.linear_backward_input({.layout = layer.layout,
                                 .dy = layer.dy.view(),
                                 .weight = layer.weight.view(),
                                 .dx = dx.view()});
  return dx;
}

/// The gradients of weight and bias, and the sums that they go to.
struct WeightGradient {
  WeightGradient(const Layer& layer, DType dtype)
      : weight(dtype, layer.weight.shape()), bias(dtype, layer.bias.shape()) {}

  /// Adds those of tokens [begin, end) of one sample.
  void add(Backend& backend, const Layer& layer, int64_t sample, int64_t begin, int64_t end) {
    const int64_t row = sample * layer.layout.length;
    backend.linear_backward_weight({.layout = layer.layout.slice(sample, begin, end),
                                    .x = layer.x.view().rows(row + begin, row + end),
                                    .dy = layer.dy.view().rows(row + begin, row + end),
                                    .dweight = weight.view(),
                                    .dbias = bias.view(),
                                    .sum = sum.sum()});
  }
  void add(Backend& backend, const Layer& layer) {
    backend.linear_backward_weight({.layout = layer.layout,
                                    .x = layer.x.view(),
                                    .dy = layer.dy.view(),
                                    .dweight = weight.view(),
                                    .dbias = bias.view(),
                                    .sum = sum.sum()});
  }

  bool same_bits_as(const WeightGradient& other) const {
    return same_bits(weight.view(), other.weight.view()) &&
           same_bits(bias.view(), other.bias.view());
  }

  Tensor weight;
  Tensor bias;
  TestGradientSum sum;
};

class LinearTest : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> one_ = testing::make_backend_under_test(1);
  std::unique_ptr<Backend> three_ = testing::make_backend_under_test(3);
};

TEST_F(LinearTest, MatchesReference) {
  for (const Layer& layer : layers()) {
    const Matrix expected =
        reference::linear(to_matrix(layer.x), to_matrix(layer.weight), to_doubles(layer.bias));
    const Tensor y = linear(*one_, layer);
    EXPECT_LT(relative_error(to_doubles(y), expected.values), kActivationTolerance)
        << layer.weight.shape();
    EXPECT_TRUE(same_bits(y.view(), linear(*three_, layer).view())) << layer.weight.shape();
  }
}

TEST_F(LinearTest, BiasMayBeAbsent) {
  for (const Layer& layer : layers()) {
    const Matrix expected = reference::linear(to_matrix(layer.x), to_matrix(layer.weight), {});
    const Tensor y = unwritten(layer.dy.shape());
    one_->linear({.layout = layer.layout,
                  .x = layer.x.view(),
                  .weight = layer.weight.view(),
                  .bias = {},
                  .y = y.view()});
    EXPECT_LT(relative_error(to_doubles(y), expected.values), kActivationTolerance)
        << layer.weight.shape();
  }
}

TEST_F(LinearTest, BackwardInputMatchesReference) {
  for (const Layer& layer : layers()) {
    const Matrix expected =
        reference::linear_backward_input(to_matrix(layer.dy), to_matrix(layer.weight));
    const Tensor dx = backward_input(*one_, layer);
    EXPECT_LT(relative_error(to_doubles(dx), expected.values), kActivationTolerance)
        << layer.weight.shape();
    EXPECT_TRUE(same_bits(dx.view(), backward_input(*three_, layer).view()))
        << layer.weight.shape();
  }
}

TEST_F(LinearTest, BackwardInputAccumulatesOnRequest) {
  Random random(2);
  for (const Layer& layer : layers()) {
    const Tensor before = random.normal(layer.x.shape());
    const Tensor dx = copy_of(before);
    three_->linear_backward_input({.layout = layer.layout,
                                   .dy = layer.dy.view(),
                                   .weight = layer.weight.view(),
                                   .dx = dx.view(),
                                   .accumulate = true});
    Matrix expected =
        reference::linear_backward_input(to_matrix(layer.dy), to_matrix(layer.weight));
    const Doubles added = to_doubles(before);
    for (size_t i = 0; i < added.size(); ++i) expected.values[i] += added[i];
    EXPECT_LT(relative_error(to_doubles(dx), expected.values), kActivationTolerance)
        << layer.weight.shape();
  }
}

class LinearBackwardWeightTest : public LinearTest, public ::testing::WithParamInterface<DType> {};

TEST_P(LinearBackwardWeightTest, AccumulatesTheReference) {
  for (const Layer& layer : layers()) {
    Matrix weight = reference::linear_backward_weight(to_matrix(layer.x), to_matrix(layer.dy));
    Doubles bias = reference::linear_backward_bias(to_matrix(layer.dy));
    for (double& value : weight.values) value *= 2;
    for (double& value : bias) value *= 2;

    WeightGradient one(layer, GetParam());
    WeightGradient three(layer, GetParam());
    for (int call = 0; call < 2; ++call) {
      one.add(*one_, layer);
      three.add(*three_, layer);
    }
    EXPECT_LT(relative_error(to_doubles(one.weight), weight.values), kTolerance)
        << layer.weight.shape();
    EXPECT_LT(relative_error(to_doubles(one.bias), bias), kTolerance) << layer.weight.shape();
    EXPECT_TRUE(one.same_bits_as(three)) << layer.weight.shape();
    EXPECT_EQ(one.sum.faults(kSumOverflowed), 0);
  }
}

TEST_P(LinearBackwardWeightTest, BiasMayBeAbsent) {
  Random random(3);
  const Layer layer = random_layer(random, layout_of(2, 9), 33, 17);
  WeightGradient expected(layer, GetParam());
  expected.add(*one_, layer);
  const Tensor dweight(GetParam(), layer.weight.shape());
  const TestGradientSum sum;
  one_->linear_backward_weight({.layout = layer.layout,
                                .x = layer.x.view(),
                                .dy = layer.dy.view(),
                                .dweight = dweight.view(),
                                .dbias = {},
                                .sum = sum.sum()});
  EXPECT_TRUE(same_bits(dweight.view(), expected.weight.view()));
}

// layout_of begins at position 12 with leaves of 8 tokens: boundaries at tokens 4, 12 and 20.
TEST_P(LinearBackwardWeightTest, HasOnePartialPerLeafOfEachSample) {
  Random random(4);
  const Layer layer = random_layer(random, layout_of(2, 23), 33, 17);
  WeightGradient whole(layer, GetParam());
  whole.add(*three_, layer);
  WeightGradient by_leaf(layer, GetParam());
  WeightGradient by_tile(layer, GetParam());
  for (int64_t sample = 0; sample < 2; ++sample) {
    for (const auto& [begin, end] :
         {std::pair<int64_t, int64_t>{0, 4}, {4, 12}, {12, 20}, {20, 23}}) {
      by_leaf.add(*one_, layer, sample, begin, end);
    }
    for (int64_t begin = 0; begin < 23; begin += 4) {
      by_tile.add(*one_, layer, sample, begin, std::min<int64_t>(begin + 4, 23));
    }
  }
  EXPECT_TRUE(whole.same_bits_as(by_leaf));
  EXPECT_FALSE(whole.same_bits_as(by_tile)) << "partials are coarser than tiles";
}

// Of one leaf, the Float32 gradient is the partial itself.
TEST_F(LinearTest, ExactSumsAddTheTermsOfThePartials) {
  Random random(8);
  for (const auto& [in, out] : {std::pair<int64_t, int64_t>{33, 17}, {64, 24}}) {
    const Layer layer = random_layer(random, layout_of(1, 4), in, out);
    WeightGradient plain(layer, DType::kFloat32);
    plain.add(*one_, layer);
    WeightGradient exact(layer, DType::kInt64);
    exact.add(*one_, layer);
    const auto expect_terms = [](const Tensor& terms, const Tensor& partials) {
      for (int64_t i = 0; i < terms.elements(); ++i) {
        bool overflowed = false;
        ASSERT_EQ(terms.data<int64_t>()[i],
                  sum_term(static_cast<double>(partials.data<float>()[i]), 0x1p50, &overflowed));
      }
    };
    expect_terms(exact.weight, plain.weight);
    expect_terms(exact.bias, plain.bias);
  }
}

TEST_F(LinearTest, TermsReachTheLimitButNotBeyond) {
  const TokenLayout layout = layout_of(1, 1);
  const Tensor x = floats({1, 1});
  x.data<float>()[0] = 1.0f;
  // In units of 2^-44, with a limit of 2^30: just below, at, and beyond, on both sides; ties to
  // even.
  const std::vector<std::pair<float, int64_t>> terms = {
      {0x1.fep-15f, (int64_t{1} << 30) - (1 << 22)},
      {0x1p-14f, 0},
      {-0x1p-14f, 0},
      {0x1p40f, 0},
      {-0x1.fep-15f, (1 << 22) - (int64_t{1} << 30)},
      {0x1p-45f, 0},
      {0x3p-45f, 2},
      {-0x3p-45f, -2}};
  const auto out = static_cast<int64_t>(terms.size());
  const Tensor dy = floats({1, out});
  for (int64_t i = 0; i < out; ++i) dy.data<float>()[i] = terms[static_cast<size_t>(i)].first;
  const Tensor dweight(DType::kInt64, {1, out});
  const Tensor dbias(DType::kInt64, {out});
  const Tensor faults(DType::kInt64, {kFaultKinds});
  one_->linear_backward_weight({.layout = layout,
                                .x = x.view(),
                                .dy = dy.view(),
                                .dweight = dweight.view(),
                                .dbias = dbias.view(),
                                .sum = {.limit = 0x1p30, .faults = faults.view()}});
  EXPECT_EQ(faults.data<int64_t>()[kSumOverflowed], 2 * 3);
  for (int64_t i = 0; i < out; ++i) {
    EXPECT_EQ(dweight.data<int64_t>()[i], terms[static_cast<size_t>(i)].second) << i;
    EXPECT_EQ(dbias.data<int64_t>()[i], terms[static_cast<size_t>(i)].second) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(GradientDTypes, LinearBackwardWeightTest,
                         ::testing::Values(DType::kInt64, DType::kFloat32),
                         [](const auto& test) { return name_of(test.param); });

// However a batch is cut into slices at tile boundaries, every row gets the bits of the whole.
TEST_F(LinearTest, SlicesHaveTheBitsOfTheWhole) {
  Random random(5);
  for (const auto& [in, out] : {std::pair<int64_t, int64_t>{64, 300}, {33, 17}, {300, 64}}) {
    const Layer layer = random_layer(random, layout_of(2, 23), in, out);
    const Tensor y = unwritten(layer.dy.shape());
    const Tensor dx = unwritten(layer.x.shape());
    for (int64_t sample = 0; sample < 2; ++sample) {
      for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 8}, {8, 12}, {12, 23}}) {
        const TokenLayout slice = layer.layout.slice(sample, begin, end);
        const auto rows = [&](const Tensor& tensor) {
          return tensor.view().rows(sample * 23 + begin, sample * 23 + end);
        };
        three_->linear({.layout = slice,
                        .x = rows(layer.x),
                        .weight = layer.weight.view(),
                        .bias = layer.bias.view(),
                        .y = rows(y)});
        three_->linear_backward_input(
            {.layout = slice, .dy = rows(layer.dy), .weight = layer.weight.view(), .dx = rows(dx)});
      }
    }
    EXPECT_TRUE(same_bits(y.view(), linear(*one_, layer).view())) << in << " to " << out;
    EXPECT_TRUE(same_bits(dx.view(), backward_input(*one_, layer).view())) << in << " to " << out;
  }
}

TEST_F(LinearTest, GradientsMatchFiniteDifferences) {
  Random random(6);
  const Layer layer = random_layer(random, layout_of(2, 7), 5, 6);
  const Matrix x = to_matrix(layer.x);
  const Matrix weight = to_matrix(layer.weight);
  const Doubles bias = to_doubles(layer.bias);
  const Doubles dy = to_doubles(layer.dy);
  const auto loss_of = [&](const Doubles& x_values, const Doubles& weight_values,
                           const Doubles& bias_values) {
    const Matrix y = reference::linear({x.rows, x.columns, x_values},
                                       {weight.rows, weight.columns, weight_values}, bias_values);
    return testing::weighted_sum(y.values, dy);
  };
  WeightGradient gradient(layer, DType::kInt64);
  gradient.add(*three_, layer);
  const auto expect_gradient = [](const Tensor& actual, const auto& loss, const Doubles& at,
                                  double tolerance = kDifferenceTolerance) {
    EXPECT_LT(relative_error(to_doubles(actual), testing::finite_differences(loss, at)), tolerance);
  };
  expect_gradient(
      backward_input(*three_, layer),
      [&](const Doubles& point) { return loss_of(point, weight.values, bias); }, x.values,
      std::max(kDifferenceTolerance, kActivationTolerance));
  expect_gradient(
      gradient.weight, [&](const Doubles& point) { return loss_of(x.values, point, bias); },
      weight.values);
  expect_gradient(
      gradient.bias, [&](const Doubles& point) { return loss_of(x.values, weight.values, point); },
      bias);
}

// One bad input spoils the terms that it enters, which are counted and left out, and no others.
TEST_F(LinearTest, NonFiniteTermsAreCountedAndLeftOut) {
  Random random(7);
  Layer layer = random_layer(random, layout_of(1, 6), 9, 11);
  WeightGradient clean(layer, DType::kInt64);
  clean.add(*one_, layer);
  layer.x.data<float>()[5] = kNaN;  // row 0: its leaf ends before row 4
  WeightGradient spoilt(layer, DType::kInt64);
  spoilt.add(*three_, layer);
  WeightGradient second_leaf(layer, DType::kInt64);
  second_leaf.add(*one_, layer, 0, 4, 6);

  EXPECT_EQ(spoilt.sum.faults(kSumOverflowed), 11);
  for (int64_t i = 0; i < clean.weight.elements(); ++i) {
    const WeightGradient& expected = i / 11 == 5 ? second_leaf : clean;
    EXPECT_EQ(spoilt.weight.data<int64_t>()[i], expected.weight.data<int64_t>()[i]);
  }
  EXPECT_TRUE(same_bits(spoilt.bias.view(), clean.bias.view()));
}

TEST(LinearDeathTest, WrongShapesAreBugs) {
  // OpenBLAS has threads of its own, which plain fork() would leave behind.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto backend = testing::make_backend_under_test(1);
  const Tensor x = floats({2, 3});
  const Tensor weight = floats({3, 4});
  const Tensor narrow = floats({2, 3});
  const LinearArgs args{.layout = {.length = 2},
                        .x = x.view(),
                        .weight = weight.view(),
                        .bias = {},
                        .y = narrow.view()};
  EXPECT_DEATH(backend->linear(args), "CHECK failed: .*\\[2, 3\\] vs \\[2, 4\\]");
}

}  // namespace
}  // namespace reformer
