#include "kernels/cpu/exact_sum.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/core/fixed_point.h"
#include "kernels/cpu/thread_pool.h"
#include "tests/kernels/op_testing.h"

namespace reformer {
namespace {

using testing::Random;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Limits below, at and above the range that the vector path covers, down to one that only 0 keeps.
constexpr double kLimits[] = {1, 2, 4, 1000.5, 0x1p23, 0x1p50, 0x1p51, 0x1p51 + 0x1p30, 0x1p62};

/// The float nearest to q units of the sum.
float units(double q) {
  return static_cast<float>(q * kSumStep);
}

/// Values around every boundary of the conversion, of both signs.
std::vector<float> special_values(double limit) {
  std::vector<float> values{0.0f, kNaN, kInfinity, std::numeric_limits<float>::max(),
                            std::numeric_limits<float>::denorm_min()};
  for (const double q : {0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 3.5, 0x1p22 + 0.5, 0x1p23 - 0.5}) {
    values.push_back(units(q));
    values.push_back(std::nextafter(units(q), 0.0f));
    values.push_back(std::nextafter(units(q), kInfinity));
  }
  for (const double q : {limit, 0x1p50, 0x1p51, 0x1p52, 0x1p53}) {
    for (const double distance : {-1.5, -1.0, -0.5, 0.0, 0.5, 1.0}) {
      values.push_back(units(q + distance));
    }
    values.push_back(std::nextafter(units(q), 0.0f));
    values.push_back(std::nextafter(units(q), kInfinity));
  }
  const size_t positive = values.size();
  for (size_t i = 0; i < positive; ++i) values.push_back(-values[i]);
  return values;
}

struct Sums {
  std::vector<int64_t> values;
  int64_t faults = 0;
};

/// What the contract says, one term at a time.
Sums expected_sums(std::span<const float> partial, const std::vector<int64_t>& start,
                   double limit) {
  Sums sums{start};
  for (size_t i = 0; i < partial.size(); ++i) {
    bool overflowed = false;
    sums.values[i] += sum_term(static_cast<double>(partial[i]), limit, &overflowed);
    sums.faults += overflowed ? 1 : 0;
  }
  return sums;
}

class ExactSumTest : public ::testing::Test {
 protected:
  std::vector<int64_t> random_start(size_t count) {
    std::vector<int64_t> start(count);
    for (int64_t& value : start) value = random_.integer(-(int64_t{1} << 60), int64_t{1} << 60);
    return start;
  }

  std::vector<float> random_partial(size_t count) {
    std::vector<float> partial(count);
    for (float& value : partial)
      value = units(static_cast<double>(random_.integer(-2000, 2000)) / 4);
    return partial;
  }

  /// Adds `partial` at `offset` of a larger gradient, and expects the rest to stay as it is.
  void expect_contract(std::span<const float> partial, size_t offset, double limit) {
    const std::vector<int64_t> start = random_start(partial.size());
    const Sums expected = expected_sums(partial, start, limit);

    constexpr int64_t kUntouched = 0x5555;
    constexpr size_t kTail = 9;
    const auto count = static_cast<int64_t>(offset + partial.size() + kTail);
    const Tensor gradient(DType::kInt64, {count});
    std::fill_n(gradient.data<int64_t>(), count, kUntouched);
    std::copy(start.begin(), start.end(), gradient.data<int64_t>() + offset);
    const Tensor faults(DType::kInt64, {kFaultKinds});
    faults.data<int64_t>()[kSumOverflowed] = 100;
    cpu::add_partial(partial, gradient.view(), static_cast<int64_t>(offset),
                     {.limit = limit, .faults = faults.view()});

    const std::span<const int64_t> actual(gradient.data<int64_t>(), static_cast<size_t>(count));
    for (size_t i = 0; i < actual.size(); ++i) {
      const bool inside = offset <= i && i < offset + partial.size();
      ASSERT_EQ(actual[i], inside ? expected.values[i - offset] : kUntouched)
          << "element " << i << ", limit " << limit;
    }
    EXPECT_EQ(faults.data<int64_t>()[kSumOverflowed], 100 + expected.faults) << limit;
    EXPECT_EQ(faults.data<int64_t>()[kStreamSaturated], 0);
  }

  Random random_{31};
};

TEST_F(ExactSumTest, EqualsSumTermAroundEveryBoundary) {
  for (const double limit : kLimits) expect_contract(special_values(limit), 0, limit);
}

// Alone among ordinary values, each in every lane of a vector.
TEST_F(ExactSumTest, OneSpecialValueLeavesItsNeighboursAlone) {
  for (const double limit : {1000.5, 0x1p51, 0x1p62}) {
    for (const float special : special_values(limit)) {
      for (size_t lane = 0; lane < 8; ++lane) {
        std::vector<float> partial = random_partial(24);
        partial[8 + lane] = special;
        expect_contract(partial, 0, limit);
      }
    }
  }
}

TEST_F(ExactSumTest, AnyLengthAtAnyOffset) {
  for (size_t count = 0; count <= 40; ++count) {
    for (size_t offset = 0; offset < 9; ++offset) {
      // One float into an allocation: the partial is not aligned either.
      const std::vector<float> memory = random_partial(count + 1);
      expect_contract(std::span(memory).subspan(1), offset, 0x1p50);
      expect_contract(std::span(memory).subspan(1), offset, 300);
    }
  }
}

TEST_F(ExactSumTest, RandomValuesOfAllSizes) {
  for (const double limit : kLimits) {
    std::vector<float> partial(4099);
    for (float& value : partial) {
      const auto mantissa = static_cast<float>(random_.integer(-(1 << 24), 1 << 24));
      value = std::ldexp(mantissa, static_cast<int>(random_.integer(-80, 0)));
    }
    expect_contract(partial, 3, limit);
  }
}

TEST_F(ExactSumTest, KnownTerms) {
  const Tensor gradient(DType::kInt64, {7});
  const Tensor faults(DType::kInt64, {kFaultKinds});
  const std::vector<float> partial{1.0f,       units(0.5), units(1.5), units(-2.5),
                                   units(3.4), 64.0f,      -kInfinity};
  for (int repeat = 0; repeat < 2; ++repeat) {
    cpu::add_partial(partial, gradient.view(), 0, {.limit = 0x1p50, .faults = faults.view()});
  }
  const int64_t* sums = gradient.data<int64_t>();
  EXPECT_EQ(std::vector<int64_t>(sums, sums + 7),
            (std::vector<int64_t>{int64_t{2} << 44, 0, 4, -4, 6, 0, 0}));
  EXPECT_EQ(faults.data<int64_t>()[kSumOverflowed], 4);
}

TEST_F(ExactSumTest, CountsTheFaultsOfAllThreads) {
  constexpr int64_t kBlocks = 200;
  constexpr int64_t kBlock = 37;
  std::vector<float> partial = random_partial(kBlock);
  partial[5] = kNaN;
  partial[36] = kInfinity;
  const Tensor gradient(DType::kInt64, {kBlocks * kBlock});
  const Tensor faults(DType::kInt64, {kFaultKinds});
  cpu::ThreadPool pool(4);
  pool.parallel_for(kBlocks, [&](int64_t block, int) {
    cpu::add_partial(partial, gradient.view(), block * kBlock,
                     {.limit = 0x1p50, .faults = faults.view()});
  });
  EXPECT_EQ(faults.data<int64_t>()[kSumOverflowed], 2 * kBlocks);
  const Sums expected = expected_sums(partial, std::vector<int64_t>(kBlock), 0x1p50);
  for (int64_t i = 0; i < gradient.elements(); ++i) {
    ASSERT_EQ(gradient.data<int64_t>()[i], expected.values[static_cast<size_t>(i % kBlock)]);
  }
}

TEST_F(ExactSumTest, Float32GradientsAddThePartialItself) {
  for (const int64_t count : {0, 1, 3, 8, 29, 100}) {
    constexpr int64_t kOffset = 5;
    const Tensor start = random_.normal({count + 10});
    const Tensor partial = random_.normal({count}, 1e-3f);
    if (count > 2) partial.data<float>()[2] = kInfinity;
    const Tensor gradient(DType::kFloat32, start.shape());
    std::copy_n(start.data<float>(), start.elements(), gradient.data<float>());
    cpu::add_partial({partial.data<float>(), static_cast<size_t>(count)}, gradient.view(), kOffset,
                     GradientSum());
    for (int64_t i = 0; i < start.elements(); ++i) {
      const bool inside = kOffset <= i && i < kOffset + count;
      const float added = inside ? partial.data<float>()[i - kOffset] : 0.0f;
      ASSERT_EQ(gradient.data<float>()[i], start.data<float>()[i] + added) << i;
    }
  }
}

}  // namespace
}  // namespace reformer
