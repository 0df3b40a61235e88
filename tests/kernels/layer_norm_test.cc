#include <limits>

#include <gtest/gtest.h>

#include "tests/kernels/backend_under_test.h"
#include "tests/kernels/op_testing.h"
#include "tests/kernels/row_testing.h"
#include "tests/reference/pointwise.h"

namespace reformer {
namespace {

using testing::Case;
using testing::cases;
using testing::copy_of;
using testing::Doubles;
using testing::finite_differences;
using testing::floats;
using testing::layout_of;
using Random = testing::ActivationRandom;
using testing::relative_error;
using testing::same_bits;
using testing::TestGradientSum;
using testing::to_doubles;
using testing::to_stream;
using testing::weighted_sum;

// Bounds of relative_error.
const double kLayerNormError = testing::bound(2e-6, 4e-3);
constexpr double kParameterGradientError = 5e-6;
/// Of dx, which is an activation if x is.
double gradient_error(DType x) {
  return x == DType::kFixed32 ? 5e-6 : testing::bound(5e-6, 4e-3);
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class LayerNormTest : public ::testing::TestWithParam<DType> {
 protected:
  std::unique_ptr<Backend> backend_ = testing::make_backend_under_test(3);
  Random random_{21};
};
INSTANTIATE_TEST_SUITE_P(Streams, LayerNormTest,
                         ::testing::Values(DType::kFloat32, DType::kFixed32),
                         [](const auto& stream) { return std::string(name_of(stream.param)); });

TEST_P(LayerNormTest, MatchesReference) {
  for (const Case& c : cases()) {
    const Tensor x = to_stream(random_.normal(c.shape(), 3.0f), GetParam());
    const Tensor gamma = random_.normal({c.width});
    const Tensor beta = random_.normal({c.width});
    const Tensor y = floats(c.shape());
    backend_->layer_norm(
        {.x = x.view(), .gamma = gamma.view(), .beta = beta.view(), .y = y.view()});
    EXPECT_LE(relative_error(to_doubles(y), reference::layer_norm(to_doubles(x), to_doubles(gamma),
                                                                  to_doubles(beta), 1e-5)),
              kLayerNormError)
        << c.shape();
  }
}

TEST_P(LayerNormTest, KeepsItsPrecisionFarFromZero) {
  const Shape shape{4, 100};
  Tensor x = random_.normal(shape);
  for (int64_t i = 0; i < x.elements(); ++i) {
    x.data<float>()[i] = testing::to_activation(x.data<float>()[i] + 1000.0f);
  }
  const Tensor stream = to_stream(x, GetParam());
  Tensor gamma = floats({100});
  std::fill_n(gamma.data<float>(), 100, 1.0f);
  const Tensor beta = floats({100});
  const Tensor y = floats(shape);
  backend_->layer_norm(
      {.x = stream.view(), .gamma = gamma.view(), .beta = beta.view(), .y = y.view()});
  // The mean itself is only known to about 1000 · 2^-24.
  EXPECT_LE(
      relative_error(to_doubles(y), reference::layer_norm(to_doubles(stream), to_doubles(gamma),
                                                          to_doubles(beta), 1e-5)),
      testing::bound(1e-4, 4e-3));
}

struct LayerNormGradients {
  Tensor dx;
  Tensor dgamma;
  Tensor dbeta;
};

class LayerNormBackwardTest : public LayerNormTest {
 protected:
  LayerNormGradients backward(const TokenLayout& layout, const View& x, const View& gamma,
                              const View& dy, DType sums) {
    LayerNormGradients result{floats(x.shape()), Tensor(sums, gamma.shape()),
                              Tensor(sums, gamma.shape())};
    add_backward(layout, x, gamma, dy, false, result);
    return result;
  }

  void add_backward(const TokenLayout& layout, const View& x, const View& gamma, const View& dy,
                    bool accumulate, const LayerNormGradients& to) {
    backend_->layer_norm_backward({.layout = layout,
                                   .x = x,
                                   .gamma = gamma,
                                   .dy = dy,
                                   .dx = to.dx.view(),
                                   .accumulate = accumulate,
                                   .dgamma = to.dgamma.view(),
                                   .dbeta = to.dbeta.view(),
                                   .sum = sum_.sum()});
  }

  TestGradientSum sum_;
};
INSTANTIATE_TEST_SUITE_P(Streams, LayerNormBackwardTest,
                         ::testing::Values(DType::kFloat32, DType::kFixed32),
                         [](const auto& stream) { return std::string(name_of(stream.param)); });

TEST_P(LayerNormBackwardTest, MatchesFiniteDifferences) {
  // A row of two columns is always ±1 when normalised: its dx is all cancellation.
  for (const Case& c : {Case{layout_of(1, 5), 3}, Case{layout_of(2, 3), 7},
                        Case{layout_of(1, 10), 16}, Case{layout_of(1, 3), 133}}) {
    const Tensor x = to_stream(random_.normal(c.shape(), 2.0f), GetParam());
    const Tensor gamma = random_.normal({c.width});
    const Doubles beta(static_cast<size_t>(c.width));
    const Tensor dy = random_.normal(c.shape());
    const Doubles weights = to_doubles(dy);
    const auto loss = [&](const Doubles& at_x, const Doubles& at_gamma, const Doubles& at_beta) {
      return weighted_sum(reference::layer_norm(at_x, at_gamma, at_beta, 1e-5), weights);
    };
    const Doubles dx = finite_differences(
        [&](const Doubles& at) { return loss(at, to_doubles(gamma), beta); }, to_doubles(x));
    const Doubles dgamma = finite_differences(
        [&](const Doubles& at) { return loss(to_doubles(x), at, beta); }, to_doubles(gamma));
    const Doubles dbeta = finite_differences(
        [&](const Doubles& at) { return loss(to_doubles(x), to_doubles(gamma), at); }, beta);

    for (const DType sums : {DType::kFloat32, DType::kInt64}) {
      const LayerNormGradients actual = backward(c.layout, x.view(), gamma.view(), dy.view(), sums);
      EXPECT_LE(relative_error(to_doubles(actual.dx), dx), gradient_error(GetParam())) << c.shape();
      EXPECT_LE(relative_error(to_doubles(actual.dgamma), dgamma), kParameterGradientError);
      EXPECT_LE(relative_error(to_doubles(actual.dbeta), dbeta), kParameterGradientError);
    }
  }
  EXPECT_EQ(sum_.faults(kSumOverflowed), 0);
}

TEST_P(LayerNormBackwardTest, ParameterGradientsAreSumsOverTheRows) {
  for (const Case& c : cases()) {
    const Tensor x = to_stream(random_.normal(c.shape()), GetParam());
    const Tensor dy = random_.normal(c.shape());
    const Tensor gamma = random_.normal({c.width});
    const auto width = static_cast<size_t>(c.width);
    const Doubles units =
        reference::layer_norm(to_doubles(x), Doubles(width, 1.0), Doubles(width), 1e-5);
    Doubles dgamma(width);
    Doubles dbeta(width);
    for (size_t i = 0; i < units.size(); ++i) {
      const auto gradient = static_cast<double>(dy.data<float>()[i]);
      dgamma[i % width] += gradient * units[i];
      dbeta[i % width] += gradient;
    }
    for (const DType sums : {DType::kFloat32, DType::kInt64}) {
      const LayerNormGradients actual = backward(c.layout, x.view(), gamma.view(), dy.view(), sums);
      EXPECT_LE(relative_error(to_doubles(actual.dgamma), dgamma), kParameterGradientError)
          << c.shape();
      EXPECT_LE(relative_error(to_doubles(actual.dbeta), dbeta), kParameterGradientError)
          << c.shape();
    }
  }
}

TEST_P(LayerNormBackwardTest, Accumulates) {
  const Case c{layout_of(2, 10), 21};
  const Tensor x = to_stream(random_.normal(c.shape()), GetParam());
  const Tensor gamma = random_.normal({c.width});
  const Tensor dy = random_.normal(c.shape());
  const LayerNormGradients once =
      backward(c.layout, x.view(), gamma.view(), dy.view(), DType::kInt64);
  const LayerNormGradients twice{copy_of(once.dx), copy_of(once.dgamma), copy_of(once.dbeta)};
  add_backward(c.layout, x.view(), gamma.view(), dy.view(), true, twice);
  Doubles doubled = to_doubles(once.dx);
  for (double& value : doubled) value *= 2;
  EXPECT_LE(relative_error(to_doubles(twice.dx), doubled), gradient_error(GetParam()));
  for (int64_t i = 0; i < c.width; ++i) {
    EXPECT_EQ(twice.dgamma.data<int64_t>()[i], 2 * once.dgamma.data<int64_t>()[i]);
    EXPECT_EQ(twice.dbeta.data<int64_t>()[i], 2 * once.dbeta.data<int64_t>()[i]);
  }
}

// The leaves of positions 12 … 30 are [12, 16), [16, 24) and [24, 31).
TEST_P(LayerNormBackwardTest, SumsAreThoseOfTheLeaves) {
  const Case c{layout_of(3, 19), 50};
  const Tensor x = to_stream(random_.normal(c.shape()), GetParam());
  const Tensor gamma = random_.normal({c.width});
  const Tensor dy = random_.normal(c.shape());
  for (const DType sums : {DType::kInt64, DType::kFloat32}) {
    const LayerNormGradients whole = backward(c.layout, x.view(), gamma.view(), dy.view(), sums);
    const LayerNormGradients parts{floats(c.shape()), Tensor(sums, {c.width}),
                                   Tensor(sums, {c.width})};
    for (int64_t sample = 0; sample < 3; ++sample) {
      for (const auto& [begin, end] : {std::pair{0, 4}, std::pair{4, 12}, std::pair{12, 19}}) {
        const int64_t first = sample * 19 + begin;
        const int64_t last = sample * 19 + end;
        LayerNormGradients part{Tensor(), copy_of(parts.dgamma), copy_of(parts.dbeta)};
        part.dx = floats({end - begin, c.width});
        add_backward(c.layout.slice(sample, begin, end), x.view().rows(first, last), gamma.view(),
                     dy.view().rows(first, last), false, part);
        backend_->copy(part.dx.view(), parts.dx.view().rows(first, last));
        backend_->copy(part.dgamma.view(), parts.dgamma.view());
        backend_->copy(part.dbeta.view(), parts.dbeta.view());
      }
    }
    EXPECT_TRUE(same_bits(whole.dx.view(), parts.dx.view()));
    EXPECT_TRUE(same_bits(whole.dgamma.view(), parts.dgamma.view()));
    EXPECT_TRUE(same_bits(whole.dbeta.view(), parts.dbeta.view()));
  }
}

TEST_P(LayerNormBackwardTest, CountsTermsOutOfRange) {
  const Tensor x = to_stream(random_.normal({3, 5}), GetParam());
  const Tensor gamma = random_.normal({5});
  const Tensor dy = random_.normal({3, 5});
  dy.data<float>()[2] = kNaN;  // reaches dgamma[2] and dbeta[2]
  dy.data<float>()[4] = 1e6f;  // reaches dgamma[4] and dbeta[4]
  const LayerNormGradients result =
      backward(layout_of(1, 3), x.view(), gamma.view(), dy.view(), DType::kInt64);
  EXPECT_EQ(sum_.faults(kSumOverflowed), 4);
  EXPECT_EQ(result.dbeta.data<int64_t>()[2], 0);
  EXPECT_NE(result.dbeta.data<int64_t>()[3], 0);
}

TEST_P(LayerNormBackwardTest, ThreadsDoNotChangeABit) {
  const Case c{layout_of(2, 101), 300};
  const Tensor x = to_stream(random_.normal(c.shape()), GetParam());
  const Tensor gamma = random_.normal({c.width});
  const Tensor dy = random_.normal(c.shape());
  const LayerNormGradients three =
      backward(c.layout, x.view(), gamma.view(), dy.view(), DType::kInt64);
  backend_ = testing::make_backend_under_test(1);
  const LayerNormGradients one =
      backward(c.layout, x.view(), gamma.view(), dy.view(), DType::kInt64);
  EXPECT_TRUE(same_bits(one.dx.view(), three.dx.view()));
  EXPECT_TRUE(same_bits(one.dgamma.view(), three.dgamma.view()));
  EXPECT_TRUE(same_bits(one.dbeta.view(), three.dbeta.view()));
}

}  // namespace
}  // namespace reformer
