// The mirror changes nothing: ops on the CPU through it have the bits of ops on the CPU.
#include "kernels/mirrored_backend.h"

#include <gtest/gtest.h>

#include "kernels/cpu/cpu_backend.h"
#include "tests/kernels/op_testing.h"
#include "tests/kernels/row_testing.h"
#include "tests/trainer/forwarding_backend.h"

namespace reformer {
namespace {

using testing::copy_of;
using testing::floats;
using testing::Random;
using testing::same_bits;
using testing::TestGradientSum;

const TokenLayout kLayout = testing::layout_of(2, 9);
constexpr int64_t kWidth = 5;
const Shape kShape{kLayout.rows(), kWidth};
const Dropout kDropout{.rate = 0.4f, .key = {.lo = 1, .hi = 2}};

class MirroredBackendTest : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> cpu_ = make_cpu_backend(1);
  std::unique_ptr<Backend> mirrored_ = make_mirrored_backend(make_cpu_backend(1));
  Random random_{3};
};

TEST_F(MirroredBackendTest, ResultsComeBack) {
  const Tensor x = random_.normal(kShape);
  const Tensor expected = floats(kShape), actual = floats(kShape);
  cpu_->dropout({kLayout, kDropout, x.view(), expected.view()});
  mirrored_->dropout({kLayout, kDropout, x.view(), actual.view()});
  EXPECT_TRUE(same_bits(actual.view(), expected.view()));
}

TEST_F(MirroredBackendTest, AliasesStayAliases) {
  const Tensor expected = random_.normal(kShape);
  const Tensor actual = copy_of(expected);
  cpu_->dropout({kLayout, kDropout, expected.view(), expected.view()});
  mirrored_->dropout({kLayout, kDropout, actual.view(), actual.view()});
  EXPECT_TRUE(same_bits(actual.view(), expected.view()));
}

TEST_F(MirroredBackendTest, WhatAccumulatesIsTakenAlong) {
  const Tensor x = random_.normal(kShape), dy = random_.normal(kShape);
  const auto gradient_on = [&](Backend& backend, const TestGradientSum& sum) {
    Tensor dweight(DType::kInt64, {kWidth, kWidth}), dbias(DType::kInt64, {kWidth});
    for (int pass = 0; pass < 2; ++pass) {
      backend.linear_backward_weight({.layout = kLayout,
                                      .x = x.view(),
                                      .dy = dy.view(),
                                      .dweight = dweight.view(),
                                      .dbias = dbias.view(),
                                      .sum = sum.sum()});
    }
    return dweight;
  };
  const TestGradientSum expected_sum, actual_sum;
  const Tensor expected = gradient_on(*cpu_, expected_sum);
  const Tensor actual = gradient_on(*mirrored_, actual_sum);
  EXPECT_TRUE(same_bits(actual.view(), expected.view()));
}

TEST_F(MirroredBackendTest, FaultsAreCounted) {
  const Tensor huge = random_.normal(kShape, 1e30f);
  const Tensor stream(DType::kFixed32, kShape), faults(DType::kInt64, {kFaultKinds});
  mirrored_->residual({kLayout, stream.view(), huge.view(), false, {}, faults.view()});
  EXPECT_GT(faults.data<int64_t>()[kStreamSaturated], 0);
}

/// Takes BFloat16 for y = x, and nothing else.
class BFloat16Device final : public testing::ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  bool computes_in(DType) const override { return true; }
  void dropout(const DropoutArgs& args) override {
    ASSERT_EQ(args.x.dtype(), DType::kBFloat16);
    ASSERT_EQ(args.y.dtype(), DType::kBFloat16);
    copy(args.x, args.y);
  }
};

TEST_F(MirroredBackendTest, ActivationsAreRoundedToBFloat16) {
  const auto device = make_mirrored_backend(std::make_unique<BFloat16Device>(make_cpu_backend(1)),
                                            DType::kBFloat16);
  const Tensor x = random_.normal(kShape);
  const Tensor y = floats(kShape);
  device->dropout({kLayout, {}, x.view(), y.view()});
  for (int64_t i = 0; i < x.elements(); ++i) {
    EXPECT_EQ(y.data<float>()[i], to_float(to_bfloat16(x.data<float>()[i])));
  }
}

}  // namespace
}  // namespace reformer
