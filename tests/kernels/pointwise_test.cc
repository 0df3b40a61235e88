#include "tests/reference/pointwise.h"

#include <limits>

#include <gtest/gtest.h>

#include "tests/kernels/backend_under_test.h"
#include "tests/kernels/op_testing.h"
#include "tests/kernels/row_testing.h"

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

// Bounds of relative_error.
const double kActivationGradientError = testing::bound(2e-6, 4e-3);
// Of GELU: |error| / |x|, which is 7e-8 of Φ and the rounding of x · Φ; and the error of its slope.
const double kGeluError = testing::bound(1.3e-7, 4e-3);
const double kGeluSlopeError = testing::bound(2e-7, 4e-3);

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

constexpr Dropout kNoDropout;
constexpr Dropout kDropout{.rate = 0.3f, .key = {.lo = 0x12345678u, .hi = 0x9abcdef0u}};

/// A stream of random values of every size, up to the ends of its range.
Tensor wild_stream(Random& random, const Shape& shape) {
  Tensor stream(DType::kFixed32, shape);
  for (int64_t i = 0; i < stream.elements(); ++i) {
    stream.data<uint32_t>()[i] = static_cast<uint32_t>(random.integer(0, 0xffffffff));
  }
  return stream;
}

class PointwiseTest : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = testing::make_backend_under_test(3);
  Random random_{20};
};

TEST_F(PointwiseTest, ActivationsMatchTheReference) {
  const int64_t count = 48001;  // −12 … 12
  const Tensor x = floats({count, 1});
  for (int64_t i = 0; i < count; ++i) {
    x.data<float>()[i] = testing::to_activation(static_cast<float>(i - count / 2) * 5e-4f);
  }
  const Tensor y = floats({count, 1});
  const TokenLayout layout = layout_of(1, count);
  const Doubles at = to_doubles(x);
  backend_->activation({layout, Activation::kRelu, kNoDropout, x.view(), y.view()});
  EXPECT_EQ(to_doubles(y), reference::activation(Activation::kRelu, at));

  backend_->activation({layout, Activation::kGelu, kNoDropout, x.view(), y.view()});
  const Doubles expected = reference::activation(Activation::kGelu, at);
  const Doubles actual = to_doubles(y);
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], kGeluError * std::abs(at[i])) << at[i];
  }
}

TEST_F(PointwiseTest, ActivationGradientsMatchFiniteDifferences) {
  const int64_t count = 4801;
  const Tensor x = floats({1, count});
  const Tensor dy = floats({1, count});
  for (int64_t i = 0; i < count; ++i) {
    // Never 0.
    x.data<float>()[i] = testing::to_activation(static_cast<float>(i - count / 2) * 5e-3f + 1e-3f);
    dy.data<float>()[i] = 1.0f;
  }
  const Tensor dx = floats({1, count});
  for (const Activation kind : {Activation::kRelu, Activation::kGelu}) {
    backend_->activation_backward(
        {layout_of(1, 1), kind, kNoDropout, x.view(), dy.view(), dx.view()});
    for (int64_t i = 0; i < count; ++i) {
      const double at = static_cast<double>(x.data<float>()[i]);
      const Doubles slope = finite_differences(
          [&](const Doubles& point) { return reference::activation(kind, point[0]); }, {at});
      ASSERT_NEAR(static_cast<double>(dx.data<float>()[i]), slope[0], kGeluSlopeError) << at;
    }
  }
}

TEST_F(PointwiseTest, ActivationsKeepNaN) {
  const Tensor x = floats({1, 2});
  x.data<float>()[0] = kNaN;
  x.data<float>()[1] = -1.0f;
  const Tensor y = floats({1, 2});
  for (const Activation kind : {Activation::kRelu, Activation::kGelu}) {
    backend_->activation({layout_of(1, 1), kind, kNoDropout, x.view(), y.view()});
    EXPECT_TRUE(std::isnan(y.data<float>()[0]));
    EXPECT_FALSE(std::isnan(y.data<float>()[1]));
  }
}

TEST_F(PointwiseTest, ActivationsApplyDropoutToValueAndGradient) {
  for (const Case& c : cases()) {
    const Tensor x = random_.normal(c.shape());
    for (int64_t i = 0; i < x.elements(); ++i) {
      // Differences across the corner of ReLU would tell nothing.
      if (std::abs(x.data<float>()[i]) < 1e-4f) x.data<float>()[i] = 0.5f;
    }
    const Tensor dy = random_.normal(c.shape());
    const Doubles factors = reference::dropout_factors(c.layout, kDropout, c.width);
    const Doubles weights = reference::product(to_doubles(dy), factors);
    for (const Activation kind : {Activation::kRelu, Activation::kGelu}) {
      const Tensor y = copy_of(x);  // in place
      backend_->activation({c.layout, kind, kDropout, y.view(), y.view()});
      const Doubles expected =
          reference::product(reference::activation(kind, to_doubles(x)), factors);
      EXPECT_LE(relative_error(to_doubles(y), expected), kActivationGradientError) << c.shape();

      const Tensor dx = copy_of(dy);  // in place
      backend_->activation_backward({c.layout, kind, kDropout, x.view(), dx.view(), dx.view()});
      Doubles slopes;
      for (const double at : to_doubles(x)) {
        slopes.push_back(finite_differences(
            [&](const Doubles& point) { return reference::activation(kind, point[0]); }, {at})[0]);
      }
      EXPECT_LE(relative_error(to_doubles(dx), reference::product(slopes, weights)),
                kActivationGradientError)
          << c.shape();
    }
  }
}

TEST_F(PointwiseTest, DropoutFollowsPhilox) {
  for (const float rate : {0.0f, 1e-6f, 0.1f, 0.5f, 0.999f}) {
    const Dropout dropout{.rate = rate, .key = kDropout.key};
    for (const Case& c : cases()) {
      const Tensor x = random_.normal(c.shape());
      const Tensor y = floats(c.shape());
      backend_->dropout({c.layout, dropout, x.view(), y.view()});
      const Doubles factors = reference::dropout_factors(c.layout, dropout, c.width);
      for (int64_t i = 0; i < x.elements(); ++i) {
        const bool kept = factors[static_cast<size_t>(i)] > 0;
        const float scaled = testing::to_activation(x.data<float>()[i] * dropout.scale());
        ASSERT_EQ(y.data<float>()[i], kept ? scaled : 0.0f)
            << c.shape() << " at " << i << " with rate " << rate;
      }
    }
  }
}

TEST_F(PointwiseTest, DropoutKeepsItsShare) {
  const Case c{layout_of(4, 250), 100};
  const Tensor x = floats(c.shape());
  std::fill_n(x.data<float>(), x.elements(), 1.0f);
  const Tensor y = floats(c.shape());
  for (const float rate : {0.05f, 0.2f, 0.5f, 0.9f}) {
    backend_->dropout({c.layout, {.rate = rate, .key = kDropout.key}, x.view(), y.view()});
    int64_t dropped = 0;
    for (int64_t i = 0; i < y.elements(); ++i) dropped += y.data<float>()[i] == 0 ? 1 : 0;
    const auto share = static_cast<double>(rate);
    const auto count = static_cast<double>(y.elements());
    EXPECT_NEAR(static_cast<double>(dropped), share * count,
                4.5 * std::sqrt(count * share * (1 - share)))
        << rate;
  }
}

TEST_F(PointwiseTest, DropoutDependsOnTheKeyOnly) {
  const Case c{layout_of(3, 19), 37};
  const Tensor x = random_.normal(c.shape());
  const Tensor first = floats(c.shape());
  const Tensor again = floats(c.shape());
  const Tensor other = floats(c.shape());
  backend_->dropout({c.layout, kDropout, x.view(), first.view()});
  backend_->dropout({c.layout, {.rate = 0.3f, .key = {.lo = 1, .hi = 2}}, x.view(), other.view()});
  backend_->dropout({c.layout, kDropout, x.view(), again.view()});
  EXPECT_TRUE(same_bits(first.view(), again.view()));
  EXPECT_FALSE(same_bits(first.view(), other.view()));
}

TEST_F(PointwiseTest, DropoutIsTheSameForPartsOfTheBatch) {
  const Case c{layout_of(3, 19), 37};
  const Tensor x = random_.normal(c.shape());
  const Tensor whole = floats(c.shape());
  backend_->dropout({c.layout, kDropout, x.view(), whole.view()});
  const Tensor parts = floats(c.shape());
  for (int64_t sample = 0; sample < 3; ++sample) {
    for (const auto& [begin, end] : {std::pair{0, 8}, std::pair{8, 19}}) {
      const int64_t first = sample * 19 + begin;
      const int64_t last = sample * 19 + end;
      backend_->dropout({c.layout.slice(sample, begin, end), kDropout, x.view().rows(first, last),
                         parts.view().rows(first, last)});
    }
  }
  EXPECT_TRUE(same_bits(whole.view(), parts.view()));
}

TEST_F(PointwiseTest, ResidualMatchesTheScalarConversion) {
  for (const Dropout& dropout : {kNoDropout, kDropout}) {
    for (const Case& c : cases()) {
      const Tensor f = random_.normal(c.shape(), 2000.0f);  // some out of range
      const Tensor before = wild_stream(random_, c.shape());
      const Doubles factors = reference::dropout_factors(c.layout, dropout, c.width);
      for (const bool subtract : {false, true}) {
        const Tensor stream = copy_of(before);
        const TestGradientSum counters;
        const View faults = counters.sum().faults;
        backend_->residual({c.layout, stream.view(), f.view(), subtract, dropout, faults});
        int64_t expected_faults = 0;
        for (int64_t i = 0; i < f.elements(); ++i) {
          const bool kept = factors[static_cast<size_t>(i)] > 0;
          const float scale = dropout.enabled() ? dropout.scale() : 1.0f;
          bool saturated = false;
          const uint32_t q =
              stream_from_float(kept ? f.data<float>()[i] * scale : 0.0f, &saturated);
          expected_faults += saturated ? 1 : 0;
          const uint32_t old = before.data<uint32_t>()[i];
          ASSERT_EQ(stream.data<uint32_t>()[i], subtract ? old - q : old + q) << c.shape();
        }
        EXPECT_EQ(counters.faults(kStreamSaturated), expected_faults) << c.shape();
      }
    }
  }
}

TEST_F(PointwiseTest, SubtractingUndoesAddingBitByBit) {
  for (const Dropout& dropout : {kNoDropout, kDropout}) {
    for (const Case& c : cases()) {
      const Tensor before = wild_stream(random_, c.shape());
      const Tensor stream = copy_of(before);
      const Tensor f = random_.normal(c.shape(), 3000.0f);
      const TestGradientSum counters;
      const View faults = counters.sum().faults;
      backend_->residual({c.layout, stream.view(), f.view(), false, dropout, faults});
      const bool changed = !same_bits(stream.view(), before.view());
      EXPECT_TRUE(changed || c.layout.rows() <= 1) << c.shape();
      backend_->residual({c.layout, stream.view(), f.view(), true, dropout, faults});
      EXPECT_TRUE(same_bits(stream.view(), before.view())) << c.shape();
    }
  }
}

TEST_F(PointwiseTest, ResidualSaturatesAndCounts) {
  struct Conversion {
    float value;
    uint32_t q;
    bool fault;
  };
  std::vector<Conversion> conversions = {{9000.0f, 0x7fffffffu, true},
                                         {-9000.0f, 0x80000000u, true},
                                         {kInfinity, 0x7fffffffu, true},
                                         {-kInfinity, 0x80000000u, true},
                                         {1e38f, 0x7fffffffu, true},
                                         {kNaN, 0, true},
                                         {-kNaN, 0, true},
                                         {8192.0f, 0x7fffffffu, true},
                                         {-8192.0f, 0x80000000u, false},
                                         {8191.999f, 0x7fffff00u, false},
                                         {8160.0f, 0x7f800000u, false},
                                         {0x1p-19f, 0, false},
                                         {0x3p-19f, 2, false},
                                         {-0x1p-19f, 0, false},
                                         {-0x3p-19f, 0xfffffffeu, false},
                                         {0x1.8p-19f, 1, false},
                                         {-0.0f, 0, false},
                                         {1.0f, 1u << 18, false},
                                         {-1.0f, 0u - (1u << 18), false}};
  std::erase_if(conversions, [](const Conversion& conversion) {  // as not in every dtype
    const float value = conversion.value;
    return value == value && testing::to_activation(value) != value;
  });
  const auto width = static_cast<int64_t>(conversions.size());
  const Tensor f = floats({1, width});
  for (int64_t i = 0; i < width; ++i)
    f.data<float>()[i] = conversions[static_cast<size_t>(i)].value;
  const Tensor stream(DType::kFixed32, {1, width});
  const TestGradientSum counters;
  backend_->residual(
      {layout_of(1, 1), stream.view(), f.view(), false, kNoDropout, counters.sum().faults});
  int64_t faults = 0;
  for (int64_t i = 0; i < width; ++i) {
    const Conversion& expected = conversions[static_cast<size_t>(i)];
    EXPECT_EQ(stream.data<uint32_t>()[i], expected.q) << expected.value;
    faults += expected.fault ? 1 : 0;
  }
  EXPECT_EQ(counters.faults(kStreamSaturated), faults);
  EXPECT_EQ(counters.faults(kSumOverflowed), 0);
}

TEST_F(PointwiseTest, DroppedValuesAreNoFaults) {
  const Case c{layout_of(1, 20), 30};
  const Tensor f = floats(c.shape());
  std::fill_n(f.data<float>(), f.elements(), kNaN);
  const Tensor stream(DType::kFixed32, c.shape());
  const TestGradientSum counters;
  backend_->residual({c.layout, stream.view(), f.view(), false, kDropout, counters.sum().faults});
  int64_t kept = 0;
  for (double factor : reference::dropout_factors(c.layout, kDropout, c.width)) {
    kept += factor > 0 ? 1 : 0;
  }
  EXPECT_EQ(counters.faults(kStreamSaturated), kept);
}

TEST_F(PointwiseTest, ResidualOfFloatStreamsIsAPlainSum) {
  const Case c{layout_of(2, 9), 45};
  const Tensor before = random_.normal(c.shape());
  const Tensor f = random_.normal(c.shape());
  for (const bool subtract : {false, true}) {
    const Tensor stream = copy_of(before);
    const TestGradientSum counters;
    backend_->residual(
        {c.layout, stream.view(), f.view(), subtract, kNoDropout, counters.sum().faults});
    for (int64_t i = 0; i < f.elements(); ++i) {
      const float x = before.data<float>()[i];
      const float change = f.data<float>()[i];
      ASSERT_EQ(stream.data<float>()[i], subtract ? x - change : x + change);
    }
  }
}

TEST_F(PointwiseTest, StreamsAreJoinedAndSplit) {
  for (const Case& c : cases()) {
    for (const DType dtype : {DType::kFloat32, DType::kFixed32}) {
      const Tensor x1 = to_stream(random_.normal(c.shape()), dtype);
      const Tensor x2 = to_stream(random_.normal(c.shape()), dtype);
      const Tensor joined = floats({c.layout.rows(), 2 * c.width});
      backend_->join_streams({x1.view(), x2.view(), joined.view()});
      const Tensor dx1 = floats(c.shape());
      const Tensor dx2 = floats(c.shape());
      backend_->split_streams({joined.view(), dx1.view(), dx2.view()});
      EXPECT_EQ(to_doubles(dx1), to_doubles(x1)) << c.shape();
      EXPECT_EQ(to_doubles(dx2), to_doubles(x2)) << c.shape();
      if (c.layout.rows() < 2) continue;
      // Row 1 of x2 follows row 1 of x1.
      EXPECT_EQ(to_doubles(joined)[static_cast<size_t>(3 * c.width)],
                to_doubles(x2)[static_cast<size_t>(c.width)]);
    }
  }
}

// Every op at once, on enough rows for many tasks.
std::vector<Tensor> run_all(Backend& backend) {
  Random random(7);
  const Case c{layout_of(3, 101), 300};
  const Tensor x = random.normal(c.shape());
  const Tensor f = random.normal(c.shape(), 3000.0f);
  const Tensor gamma = random.normal({c.width});
  const TestGradientSum sum;
  std::vector<Tensor> results;
  const auto result = [&](DType dtype, const Shape& shape) {
    return results.emplace_back(dtype, shape).view();
  };
  const View stream = result(DType::kFixed32, c.shape());
  backend.residual({c.layout, stream, f.view(), false, kDropout, sum.sum().faults});
  backend.layer_norm(
      {stream, gamma.view(), gamma.view(), 1e-5f, result(DType::kFloat32, c.shape())});
  const View dx = result(DType::kFloat32, c.shape());
  const View dgamma = result(DType::kInt64, {c.width});
  const View dbeta = result(DType::kFloat32, {c.width});
  backend.layer_norm_backward({.layout = c.layout,
                               .x = stream,
                               .gamma = gamma.view(),
                               .dy = x.view(),
                               .dx = dx,
                               .dgamma = dgamma,
                               .dbeta = dbeta,
                               .sum = sum.sum()});
  backend.activation(
      {c.layout, Activation::kGelu, kDropout, x.view(), result(DType::kFloat32, c.shape())});
  backend.activation_backward({c.layout, Activation::kGelu, kDropout, x.view(), f.view(),
                               result(DType::kFloat32, c.shape())});
  backend.join_streams({stream, stream, result(DType::kFloat32, {c.layout.rows(), 2 * c.width})});
  backend.copy(sum.sum().faults, result(DType::kInt64, {kFaultKinds}));
  return results;
}

TEST_F(PointwiseTest, ThreadsDoNotChangeABit) {
  const std::vector<Tensor> one = run_all(*testing::make_backend_under_test(1));
  const std::vector<Tensor> three = run_all(*backend_);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(same_bits(one[i].view(), three[i].view())) << "result " << i;
  }
  EXPECT_GT(one.back().data<int64_t>()[kStreamSaturated], 0);
}

TEST_F(PointwiseTest, WrongShapesAreBugs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Tensor x = random_.normal({4, 8});
  const Tensor narrow = random_.normal({4, 7});
  EXPECT_DEATH(backend_->dropout({layout_of(1, 4), kNoDropout, x.view(), narrow.view()}),
               "\\[4, 7\\] vs \\[4, 8\\]");
  EXPECT_DEATH(backend_->dropout({layout_of(1, 5), kNoDropout, x.view(), x.view()}), "4 vs 5");
}

}  // namespace
}  // namespace reformer
