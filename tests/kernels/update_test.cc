#include "tests/reference/update.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/core/wide_sum.h"
#include "tests/kernels/backend_under_test.h"
#include "tests/kernels/op_testing.h"
#include "tests/kernels/row_testing.h"

namespace reformer {
namespace {

using testing::copy_of;
using testing::Doubles;
using Random = testing::ActivationRandom;
using testing::relative_error;
using testing::same_bits;
using testing::to_doubles;

constexpr double kTolerance = 3e-6;  // relative to the largest element
constexpr int64_t kSteps = 5;

/// The same numbers as an exact sum.
Tensor to_int64(const Tensor& floats) {
  Tensor sums(DType::kInt64, floats.shape());
  bool overflowed = false;
  for (int64_t i = 0; i < floats.elements(); ++i) {
    sums.data<int64_t>()[i] =
        sum_term(static_cast<double>(floats.data<float>()[i]), 0x1p62, &overflowed);
  }
  return sums;
}

// 63 to 65 surround a vector boundary, 4,096 and 65,536 the ends of tasks and norm blocks.
const std::vector<int64_t> kSizes = {1, 2, 63, 64, 65, 1000, 4095, 4097, 65537};

TEST(SumOfSquaresTest, IsThatOfTheReferenceOnAnyThreadsInAnyParts) {
  Random random(1);
  for (int64_t size : {int64_t{1}, int64_t{63}, int64_t{4097}, int64_t{65537}, int64_t{200000}}) {
    const Tensor floats = random.normal({size});
    double expected = 0;
    for (int64_t i = 0; i < size; ++i) {
      const auto x = static_cast<double>(floats.data<float>()[i]);
      expected += x * x;
    }
    for (const Tensor& x : {copy_of(floats), to_int64(floats)}) {
      const auto words_of = [&](int threads, int64_t cut) {
        const Tensor squares(DType::kInt64, {WideSum::kWords});
        const std::unique_ptr<Backend> backend = testing::make_backend_under_test(threads);
        for (const View& part : {x.view().rows(0, cut), x.view().rows(cut, size)}) {
          backend->sum_of_squares({.x = part, .squares = squares.view()});
        }
        WideSum::Words words;
        std::copy_n(squares.data<int64_t>(), WideSum::kWords, words.begin());
        return words;
      };
      const WideSum::Words whole = words_of(1, 0);
      EXPECT_NEAR(WideSum(whole).value(), expected, 1e-12 * expected);
      EXPECT_EQ(words_of(3, 0), whole);
      EXPECT_EQ(words_of(2, size / 2 / kNormBlock * kNormBlock), whole);
    }
  }
}

/// What the contract says, word by word.
WideSum::Words words_of_blocks(const View& x) {
  const Doubles values = to_doubles(x);
  WideSum sum;
  for (size_t begin = 0; begin < values.size(); begin += kNormBlock) {
    double block = 0;
    for (size_t i = begin; i < std::min(begin + kNormBlock, values.size()); ++i) {
      block += values[i] * values[i];
    }
    sum.add(block);
  }
  return sum.words();
}

TEST(SumOfSquaresTest, HasTheWordsOfItsBlocks) {
  Random random(4);
  const auto expect_words = [](const View& x) {
    const Tensor squares(DType::kInt64, {WideSum::kWords});
    testing::make_backend_under_test()->sum_of_squares({.x = x, .squares = squares.view()});
    const WideSum::Words expected = words_of_blocks(x);
    for (size_t word = 0; word < expected.size(); ++word) {
      EXPECT_EQ(squares.data<int64_t>()[word], expected[word]) << "word " << word;
    }
  };
  for (const int64_t size : {int64_t{1}, int64_t{64}, int64_t{100}, int64_t{20011}}) {
    const Tensor floats = random.normal({size});
    expect_words(floats.view());
    expect_words(to_int64(floats).view());
  }
  Tensor long_numbers(DType::kInt64, {20000});
  std::generate_n(long_numbers.data<int64_t>(), 20000,
                  [&] { return random.integer(-(int64_t{1} << 60), int64_t{1} << 60); });
  expect_words(long_numbers.view());
  // Blocks of every size, some of no number and some below the smallest bit.
  Tensor wild(DType::kFloat32, {200 * kNormBlock});
  for (int64_t i = 0; i < wild.elements(); ++i) {
    const auto exponent = static_cast<int>(i / kNormBlock) - 100;
    wild.data<float>()[i] = std::ldexp(1.0f + random.normal({1}).data<float>()[0], exponent);
  }
  wild.data<float>()[3] = std::numeric_limits<float>::infinity();
  wild.data<float>()[kNormBlock + 9] = std::numeric_limits<float>::quiet_NaN();
  expect_words(wild.view());
}

class UpdateTest : public ::testing::TestWithParam<bool> {
 protected:
  /// A random gradient in the parameter's gradient dtype, and as doubles.
  Tensor gradient(const Shape& shape, Doubles& values) {
    Tensor floats = random_.normal(shape, 1e-2f);
    values = to_doubles(floats);
    return GetParam() ? to_int64(floats) : std::move(floats);
  }

  Random random_{2};
};

TEST_P(UpdateTest, AdamWMatchesReferenceOverSteps) {
  const reference::AdamWSettings settings{
      .rate = 1e-2, .beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-9, .weight_decay = 0.1};
  for (int64_t size : kSizes) {
    const Tensor parameter = random_.normal({size});
    const Tensor threaded_parameter = copy_of(parameter);
    const Tensor m(DType::kFloat32, {size}), v(DType::kFloat32, {size});
    const Tensor threaded_m(DType::kFloat32, {size}), threaded_v(DType::kFloat32, {size});
    Doubles expected = to_doubles(parameter);
    Doubles expected_m(expected.size()), expected_v(expected.size());
    const auto one = testing::make_backend_under_test(1);
    const auto three = testing::make_backend_under_test(3);
    for (int64_t step = 1; step <= kSteps; ++step) {
      Doubles values;
      const Tensor g = gradient({size}, values);
      AdamWArgs args{.parameter = parameter.view(),
                     .gradient = g.view(),
                     .m = m.view(),
                     .v = v.view(),
                     .step = step,
                     .rate = 1e-2f,
                     .beta1 = 0.9f,
                     .beta2 = 0.98f,
                     .epsilon = 1e-9f,
                     .weight_decay = 0.1f,
                     .gradient_scale = 0.5f};
      one->adamw(args);
      args.parameter = threaded_parameter.view();
      args.m = threaded_m.view();
      args.v = threaded_v.view();
      three->adamw(args);
      for (double& value : values) value *= 0.5;
      reference::adamw(settings, step, values, expected, expected_m, expected_v);
    }
    EXPECT_LT(relative_error(to_doubles(parameter), expected), kTolerance) << size;
    EXPECT_LT(relative_error(to_doubles(m), expected_m), kTolerance) << size;
    EXPECT_LT(relative_error(to_doubles(v), expected_v), kTolerance) << size;
    EXPECT_TRUE(same_bits(parameter.view(), threaded_parameter.view()));
  }
}

// A slice of a tensor, as a sharded optimizer updates it, gets the bits of the whole.
TEST_P(UpdateTest, AdamWOfASliceHasTheBitsOfTheWhole) {
  constexpr int64_t kSize = 10000;
  const Tensor whole = random_.normal({kSize});
  const Tensor parts = copy_of(whole);
  const Tensor m(DType::kFloat32, {kSize}), v(DType::kFloat32, {kSize});
  const Tensor m_parts(DType::kFloat32, {kSize}), v_parts(DType::kFloat32, {kSize});
  Doubles unused;
  const Tensor g = gradient({kSize}, unused);
  const auto backend = testing::make_backend_under_test(2);
  const auto update = [&](const Tensor& p, const Tensor& m1, const Tensor& v1, int64_t begin,
                          int64_t end) {
    backend->adamw({.parameter = p.view().rows(begin, end),
                    .gradient = g.view().rows(begin, end),
                    .m = m1.view().rows(begin, end),
                    .v = v1.view().rows(begin, end),
                    .step = 1,
                    .rate = 0.1f});
  };
  update(whole, m, v, 0, kSize);
  for (int64_t begin = 0; begin < kSize; begin += 448) {
    update(parts, m_parts, v_parts, begin, std::min(begin + 448, kSize));
  }
  EXPECT_TRUE(same_bits(whole.view(), parts.view()));
}

TEST_P(UpdateTest, AdafactorMatchesReferenceOverSteps) {
  const reference::AdafactorSettings settings{
      .rate = 3e-2, .epsilon1 = 1e-16, .epsilon2 = 1e-3, .clip = 1.0, .weight_decay = 1e-2};
  // Extents of 0 rows stand for vectors.
  const std::vector<std::pair<int64_t, int64_t>> shapes = {
      {0, 1}, {0, 65}, {1, 1}, {1, 70}, {70, 1}, {5, 3}, {33, 129}, {200, 64}, {300, 17}};
  for (const auto& [rows, columns] : shapes) {
    const Shape shape = rows == 0 ? Shape{columns} : Shape{rows, columns};
    // Some parameters are smaller than epsilon2.
    const Tensor parameter = random_.normal(shape, columns == 3 ? 1e-5f : 1.0f);
    const Tensor threaded_parameter = copy_of(parameter);
    const Tensor update(DType::kFloat32, shape);
    const Tensor row(DType::kFloat32, {std::max<int64_t>(rows, 1)});
    const Tensor column(DType::kFloat32, {columns});
    const Tensor threaded_row(DType::kFloat32, row.shape());
    const Tensor threaded_column(DType::kFloat32, {columns});
    Doubles expected = to_doubles(parameter);
    Doubles expected_row(static_cast<size_t>(rows)), expected_column(static_cast<size_t>(columns));
    const auto one = testing::make_backend_under_test(1);
    const auto three = testing::make_backend_under_test(3);
    for (int64_t step = 1; step <= kSteps; ++step) {
      Doubles values;
      const Tensor g = gradient(shape, values);
      AdafactorArgs args{.parameter = parameter.view(),
                         .gradient = g.view(),
                         .row = rows == 0 ? View() : row.view(),
                         .column = column.view(),
                         .update = update.view(),
                         .step = step,
                         .rate = 3e-2f,
                         .weight_decay = 1e-2f};
      one->adafactor(args);
      args.parameter = threaded_parameter.view();
      args.row = rows == 0 ? View() : threaded_row.view();
      args.column = threaded_column.view();
      three->adafactor(args);
      reference::adafactor(settings, step, static_cast<size_t>(rows), values, expected,
                           expected_row, expected_column);
    }
    EXPECT_LT(relative_error(to_doubles(parameter), expected), kTolerance) << shape;
    EXPECT_LT(relative_error(to_doubles(column), expected_column, 1e-30), kTolerance) << shape;
    if (rows > 0) {
      EXPECT_LT(relative_error(to_doubles(row), expected_row, 1e-30), kTolerance) << shape;
    }
    EXPECT_TRUE(same_bits(parameter.view(), threaded_parameter.view()));
  }
}

INSTANTIATE_TEST_SUITE_P(GradientDTypes, UpdateTest, ::testing::Bool());

TEST(AdafactorTest, AZeroGradientDecaysTheParameterOnly) {
  Random random(3);
  const Tensor parameter = random.normal({4, 6});
  const Doubles before = to_doubles(parameter);
  const Tensor gradient(DType::kInt64, {4, 6});
  const Tensor update(DType::kFloat32, {4, 6});
  const Tensor row(DType::kFloat32, {4}), column(DType::kFloat32, {6});
  testing::make_backend_under_test(1)->adafactor({.parameter = parameter.view(),
                                                  .gradient = gradient.view(),
                                                  .row = row.view(),
                                                  .column = column.view(),
                                                  .update = update.view(),
                                                  .rate = 0.5f,
                                                  .weight_decay = 0.5f});
  Doubles expected = before;
  for (double& value : expected) value *= 0.75;
  EXPECT_LT(relative_error(to_doubles(parameter), expected), 1e-6);
}

}  // namespace
}  // namespace reformer
