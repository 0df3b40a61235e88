#include "tests/reference/token.h"

#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "tests/kernels/backend_under_test.h"
#include "tests/kernels/op_testing.h"
#include "tests/kernels/row_testing.h"

namespace reformer {
namespace {

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
using testing::weighted_sum;

// Bounds of relative_error.
constexpr double kEmbedError = 1e-7;
constexpr double kEmbedGradientError = 1e-9;
constexpr double kFloatSumError = 2e-6;  // of gradients summed in Float32
constexpr double kLossError = 5e-7;
constexpr double kLogitGradientError = 2e-6;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<int32_t> to_integers(const Tensor& tensor) {
  return {tensor.data<int32_t>(), tensor.data<int32_t>() + tensor.elements()};
}

class TokenTest : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = testing::make_backend_under_test(3);
  Random random_{22};
};

struct EmbedCase {
  TokenLayout layout;
  int64_t vocabulary;
  int64_t width;
  std::vector<Shape> axes;
};

std::vector<EmbedCase> embed_cases() {
  return {{layout_of(1, 1), 1, 1, {}},
          {layout_of(2, 19), 5, 12, {}},
          {layout_of(2, 19), 11, 12, {{31, 12}}},
          {layout_of(3, 19), 11, 13, {{4, 5}, {8, 8}}},
          {layout_of(2, 19), 11, 12, {{4, 5}, {8, 7}}},
          {layout_of(1, 40), 258, 141, {{3, 64}, {5, 70}, {4, 7}}},
          {layout_of(2, 0), 3, 4, {{12, 4}}}};
}

/// The tables of a case, the tokens' first, as tensors of normal numbers or as zero gradients.
std::vector<Tensor> tables_of(const EmbedCase& c, const std::function<Tensor(const Shape&)>& make) {
  std::vector<Tensor> tables;
  tables.push_back(make({c.vocabulary, c.width}));
  for (const Shape& axis : c.axes) tables.push_back(make(axis));
  return tables;
}

std::vector<View> axes_of(const std::vector<Tensor>& tables) {
  std::vector<View> axes;
  for (size_t i = 1; i < tables.size(); ++i) axes.push_back(tables[i].view());
  return axes;
}

std::vector<reference::Table> to_reference(const std::vector<Tensor>& tables) {
  std::vector<reference::Table> result;
  for (const Tensor& table : tables) result.push_back({table.shape()[1], to_doubles(table)});
  return result;
}

TEST_F(TokenTest, EmbedMatchesReference) {
  for (const EmbedCase& c : embed_cases()) {
    const std::vector<Tensor> tables =
        tables_of(c, [&](const Shape& shape) { return random_.normal(shape); });
    const Tensor tokens =
        random_.integers({c.layout.rows()}, 0, static_cast<int32_t>(c.vocabulary - 1));
    const Tensor y = floats({c.layout.rows(), c.width});
    const std::vector<View> axes = axes_of(tables);
    backend_->embed({c.layout, tokens.view(), tables[0].view(), axes, y.view()});
    const Doubles expected = reference::embed(c.layout, to_integers(tokens), to_reference(tables));
    EXPECT_LE(relative_error(to_doubles(y), expected), kEmbedError) << y.shape();
  }
}

class EmbedBackwardTest : public TokenTest {
 protected:
  std::vector<Tensor> backward(const EmbedCase& c, const View& tokens, const View& dy, DType sums) {
    std::vector<Tensor> gradients =
        tables_of(c, [&](const Shape& shape) { return Tensor(sums, shape); });
    add_backward(c.layout, tokens, dy, gradients);
    return gradients;
  }

  void add_backward(const TokenLayout& layout, const View& tokens, const View& dy,
                    const std::vector<Tensor>& gradients) {
    const std::vector<View> daxes = axes_of(gradients);
    backend_->embed_backward({layout, tokens, dy, gradients[0].view(), daxes, sum_.sum()});
  }

  TestGradientSum sum_;
};

TEST_F(EmbedBackwardTest, MatchesFiniteDifferences) {
  for (const EmbedCase& c : embed_cases()) {
    if (c.vocabulary > 100) continue;  // too slow by differences
    const Tensor tokens =
        random_.integers({c.layout.rows()}, 0, static_cast<int32_t>(c.vocabulary - 1));
    const Tensor dy = random_.normal({c.layout.rows(), c.width});
    const std::vector<Tensor> actual = backward(c, tokens.view(), dy.view(), DType::kInt64);
    const std::vector<Tensor> rounded = backward(c, tokens.view(), dy.view(), DType::kFloat32);
    std::vector<reference::Table> at = to_reference(actual);  // embed is linear: any point will do
    for (size_t t = 0; t < at.size(); ++t) {
      const Doubles values = at[t].values;
      const Doubles expected = finite_differences(
          [&](const Doubles& point) {
            at[t].values = point;
            return weighted_sum(reference::embed(c.layout, to_integers(tokens), at),
                                to_doubles(dy));
          },
          values, 1.0);
      at[t].values = values;
      EXPECT_LE(relative_error(to_doubles(actual[t]), expected), kEmbedGradientError) << t;
      EXPECT_LE(relative_error(to_doubles(rounded[t]), expected), kFloatSumError) << t;
    }
  }
  EXPECT_EQ(sum_.faults(kSumOverflowed), 0);
}

// Wide enough for several tasks; the second axis is split between two of them.
TEST_F(EmbedBackwardTest, SumsTheTermsOfTheTokensExactly) {
  const EmbedCase c{layout_of(5, 60), 3, 150, {{8, 100}, {9, 50}}};
  const Tensor tokens = random_.integers({c.layout.rows()}, 0, 2);
  const Tensor dy = random_.normal({c.layout.rows(), c.width});
  const std::vector<Tensor> exact = backward(c, tokens.view(), dy.view(), DType::kInt64);
  const std::vector<Tensor> plain = backward(c, tokens.view(), dy.view(), DType::kFloat32);
  const auto zeros = [&](DType sums) {
    return tables_of(c, [&](const Shape& shape) { return Tensor(sums, shape); });
  };
  const std::vector<Tensor> terms = zeros(DType::kInt64);
  const std::vector<Tensor> in_row_order = zeros(DType::kFloat32);
  for (int64_t row = 0; row < c.layout.rows(); ++row) {
    const int64_t position = c.layout.first_position + row % c.layout.length;
    for (int64_t column = 0; column < c.width; ++column) {
      const float value = dy.data<float>()[row * c.width + column];
      const auto add = [&](size_t table, int64_t at) {
        bool overflowed = false;
        terms[table].data<int64_t>()[at] +=
            sum_term(static_cast<double>(value), 0x1p50, &overflowed);
        in_row_order[table].data<float>()[at] += value;
      };
      add(0, tokens.data<int32_t>()[row] * c.width + column);
      if (column < 100) {
        add(1, position / 9 * 100 + column);
      } else {
        add(2, position % 9 * 50 + column - 100);
      }
    }
  }
  for (size_t t = 0; t < terms.size(); ++t) {
    EXPECT_TRUE(same_bits(exact[t].view(), terms[t].view())) << t;
    EXPECT_TRUE(same_bits(plain[t].view(), in_row_order[t].view())) << t;
  }
}

TEST_F(EmbedBackwardTest, IsTheSameForPartsOfTheBatch) {
  const EmbedCase c{layout_of(3, 19), 11, 13, {{4, 5}, {8, 8}}};
  const Tensor tokens = random_.integers({c.layout.rows()}, 0, 10);
  const Tensor dy = random_.normal({c.layout.rows(), c.width});
  const std::vector<Tensor> whole = backward(c, tokens.view(), dy.view(), DType::kInt64);
  const std::vector<Tensor> parts =
      tables_of(c, [&](const Shape& shape) { return Tensor(DType::kInt64, shape); });
  for (int64_t sample = 2; sample >= 0; --sample) {
    for (const auto& [begin, end] : {std::pair{8, 19}, std::pair{0, 8}}) {
      const int64_t first = sample * 19 + begin;
      const int64_t last = sample * 19 + end;
      add_backward(c.layout.slice(sample, begin, end), tokens.view().rows(first, last),
                   dy.view().rows(first, last), parts);
    }
  }
  for (size_t t = 0; t < whole.size(); ++t) {
    EXPECT_TRUE(same_bits(whole[t].view(), parts[t].view())) << t;
  }
}

TEST_F(EmbedBackwardTest, ThreadsDoNotChangeABit) {
  const EmbedCase c{layout_of(3, 70), 40, 333, {{9, 100}, {10, 233}}};
  const Tensor tokens = random_.integers({c.layout.rows()}, 0, 39);
  const Tensor dy = random_.normal({c.layout.rows(), c.width});
  const std::vector<Tensor> three = backward(c, tokens.view(), dy.view(), DType::kFloat32);
  backend_ = testing::make_backend_under_test(1);
  const std::vector<Tensor> one = backward(c, tokens.view(), dy.view(), DType::kFloat32);
  for (size_t t = 0; t < one.size(); ++t) {
    EXPECT_TRUE(same_bits(one[t].view(), three[t].view())) << t;
  }
}

TEST_F(EmbedBackwardTest, CountsTermsOutOfRange) {
  const EmbedCase c{layout_of(1, 2), 4, 5, {{16, 5}}};
  const Tensor tokens = random_.integers({2}, 0, 3);
  const Tensor dy = random_.normal({2, 5});
  dy.data<float>()[3] = kNaN;
  dy.data<float>()[8] = -1e9f;
  backward(c, tokens.view(), dy.view(), DType::kInt64);
  EXPECT_EQ(sum_.faults(kSumOverflowed), 4);  // both, in the table and in the axis
}

TEST_F(TokenTest, TokensAndPositionsOutOfRangeAreBugs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Tensor table = random_.normal({4, 6});
  const Tensor y = floats({1, 6});
  const Tensor tokens(DType::kInt32, {1});
  tokens.data<int32_t>()[0] = 4;
  // A device says so by an exception, when it is waited for.
  const auto embed = [&]() noexcept {
    backend_->embed({layout_of(1, 1), tokens.view(), table.view(), {}, y.view()});
  };
  EXPECT_DEATH(embed(), "tokens\\[row\\] < vocabulary|\\[cuda\\]");
  tokens.data<int32_t>()[0] = 0;
  const View axes[] = {table.view()};  // 4 positions, and the layout begins at 12
  EXPECT_DEATH(backend_->embed({layout_of(1, 1), tokens.view(), table.view(), axes, y.view()}),
               "13 vs 4");
}

struct CrossEntropyResult {
  Tensor logits;  // or their gradient
  Tensor loss{DType::kInt64, {1}};
  Tensor correct{DType::kInt64, {1}};
  TestGradientSum sum{};

  int64_t loss_units() const { return loss.data<int64_t>()[0]; }
  double loss_value() const { return static_cast<double>(loss_units()) * kSumStep; }
  int64_t correct_rows() const { return correct.data<int64_t>()[0]; }
};

class CrossEntropyTest : public TokenTest {
 protected:
  CrossEntropyResult run(const Tensor& logits, const Tensor& labels, double scale, bool gradient) {
    CrossEntropyResult result{.logits = copy_of(logits)};
    backend_->cross_entropy({result.logits.view(), labels.view(), scale, gradient,
                             result.loss.view(), result.correct.view(), result.sum.sum()});
    return result;
  }

  /// Labels of which about one in five is ignored and, in long vocabularies, many are the largest.
  Tensor labels_for(const Tensor& logits) {
    const int64_t rows = logits.shape()[0];
    const int64_t vocabulary = logits.shape()[1];
    Tensor labels = random_.integers({rows}, 0, static_cast<int32_t>(vocabulary - 1));
    for (int64_t row = 0; row < rows; ++row) {
      const float* x = logits.data<float>() + row * vocabulary;
      int32_t& label = labels.data<int32_t>()[row];
      if (random_.chance(0.4)) {
        label = static_cast<int32_t>(std::max_element(x, x + vocabulary) - x);
      }
      if (random_.chance(0.2)) label = kIgnoredLabel;
    }
    return labels;
  }
};

TEST_F(CrossEntropyTest, LossMatchesReference) {
  for (const int64_t vocabulary : {1, 2, 5, 64, 258, 1029, 50001}) {
    for (const int64_t rows : {int64_t{0}, int64_t{1}, vocabulary > 10000 ? 3 : int64_t{77}}) {
      const Tensor logits = random_.normal({rows, vocabulary}, 3.0f);
      const Tensor labels = labels_for(logits);
      const reference::CrossEntropy expected =
          reference::cross_entropy(to_doubles(logits), to_integers(labels));
      const CrossEntropyResult actual = run(logits, labels, 0.01, false);
      EXPECT_LE(relative_error({actual.loss_value()}, {0.01 * expected.loss}), kLossError)
          << logits.shape();
      EXPECT_EQ(actual.correct_rows(), expected.correct) << logits.shape();
      EXPECT_EQ(actual.sum.faults(kSumOverflowed), 0);
      EXPECT_TRUE(same_bits(actual.logits.view(), logits.view())) << "logits changed";
    }
  }
}

TEST_F(CrossEntropyTest, GradientMatchesFiniteDifferences) {
  for (const int64_t vocabulary : {1, 2, 5, 8, 33, 130}) {
    const Tensor logits = random_.normal({7, vocabulary}, 2.0f);
    const Tensor labels = labels_for(logits);
    const CrossEntropyResult actual = run(logits, labels, 0.25, true);
    const Doubles expected = finite_differences(
        [&](const Doubles& at) {
          return 0.25 * reference::cross_entropy(at, to_integers(labels)).loss;
        },
        to_doubles(logits));
    // With one class, all is 0.
    EXPECT_LE(relative_error(to_doubles(actual.logits), expected, 1e-3), kLogitGradientError)
        << vocabulary;
    const CrossEntropyResult loss_only = run(logits, labels, 0.25, false);
    EXPECT_EQ(actual.loss_units(), loss_only.loss_units());
    EXPECT_EQ(actual.correct_rows(), loss_only.correct_rows());
  }
}

TEST_F(CrossEntropyTest, GradientOfALongVocabularyMatchesDifferencesInSomeColumns) {
  const int64_t vocabulary = 50001;
  const Tensor logits = random_.normal({1, vocabulary}, 4.0f);
  const Tensor labels = random_.integers({1}, 0, vocabulary - 1);
  const CrossEntropyResult actual = run(logits, labels, 1.0, true);
  const int64_t label = labels.data<int32_t>()[0];
  for (const int64_t column : {label, int64_t{0}, int64_t{1023}, int64_t{1024}, vocabulary - 1}) {
    const Doubles expected = finite_differences(
        [&](const Doubles& at) {
          Doubles point = to_doubles(logits);
          point[static_cast<size_t>(column)] = at[0];
          return reference::cross_entropy(point, to_integers(labels)).loss;
        },
        {to_doubles(logits)[static_cast<size_t>(column)]}, 1e-3);
    EXPECT_NEAR(static_cast<double>(actual.logits.data<float>()[column]), expected[0], 1e-7);
  }
  const Doubles gradient = to_doubles(actual.logits);
  EXPECT_NEAR(std::accumulate(gradient.begin(), gradient.end(), 0.0), 0.0, 1e-6);
}

TEST_F(CrossEntropyTest, IgnoredRowsCountNothing) {
  const Tensor logits = random_.normal({3, 9});
  std::fill_n(logits.data<float>(), 9, kNaN);
  std::fill_n(logits.data<float>() + 18, 9, kInfinity);
  const Tensor labels(DType::kInt32, {3});
  labels.data<int32_t>()[0] = kIgnoredLabel;
  labels.data<int32_t>()[1] = 4;
  labels.data<int32_t>()[2] = kIgnoredLabel;
  const CrossEntropyResult result = run(logits, labels, 1.0, true);
  for (int64_t i = 0; i < 27; ++i) {
    const bool counted = 9 <= i && i < 18;
    EXPECT_EQ(result.logits.data<float>()[i] != 0, counted) << i;
  }
  EXPECT_EQ(result.sum.faults(kSumOverflowed), 0);
  const Doubles row = to_doubles(logits.view().rows(1, 2));
  EXPECT_LE(relative_error({result.loss_value()}, {reference::cross_entropy(row, {4}).loss}),
            kLossError);
}

TEST_F(CrossEntropyTest, OfEqualLogitsTheFirstIsTheAnswer) {
  const int64_t vocabulary = 21;
  const Tensor logits = floats({vocabulary, vocabulary});
  const Tensor labels(DType::kInt32, {vocabulary});
  for (int32_t row = 0; row < vocabulary; ++row) {
    labels.data<int32_t>()[row] = row;
    logits.data<float>()[row * vocabulary] = -1.0f;  // the others are equal
  }
  EXPECT_EQ(run(logits, labels, 1.0, false).correct_rows(), 1);
  labels.data<int32_t>()[1] = kIgnoredLabel;
  EXPECT_EQ(run(logits, labels, 1.0, false).correct_rows(), 0);
}

TEST_F(CrossEntropyTest, IsExactForLargeLogits) {
  const Tensor logits = random_.normal({6, 40}, 5.0f);
  for (int64_t i = 0; i < logits.elements(); ++i) logits.data<float>()[i] += i < 120 ? 3e4f : -3e4f;
  logits.data<float>()[7] = -3e38f;
  const Tensor labels = random_.integers({6}, 20, 39);
  const CrossEntropyResult result = run(logits, labels, 0.1, true);
  const reference::CrossEntropy expected =
      reference::cross_entropy(to_doubles(logits), to_integers(labels));
  EXPECT_LE(relative_error({result.loss_value()}, {0.1 * expected.loss}), kLossError);
  EXPECT_EQ(result.logits.data<float>()[7], 0.0f);
}

TEST_F(CrossEntropyTest, ImpossibleTokensAreNoFaults) {
  const Tensor logits = random_.normal({1, 40});
  std::fill_n(logits.data<float>(), 17, -kInfinity);
  const Tensor labels = random_.integers({1}, 30, 39);
  const CrossEntropyResult result = run(logits, labels, 1.0, true);
  const Doubles possible(logits.data<float>() + 17, logits.data<float>() + 40);
  const int32_t label = labels.data<int32_t>()[0] - 17;
  EXPECT_LE(
      relative_error({result.loss_value()}, {reference::cross_entropy(possible, {label}).loss}),
      kLossError);
  EXPECT_EQ(result.sum.faults(kSumOverflowed), 0);
  for (int64_t i = 0; i < 40; ++i) EXPECT_EQ(result.logits.data<float>()[i] == 0, i < 17) << i;
}

TEST_F(CrossEntropyTest, CountsLossesOutOfRange) {
  const int64_t vocabulary = 35;
  struct Fault {
    float value;
    int64_t column;
    int64_t faults;
  };
  // The label is column 33. A loss of 64 is the limit of TestGradientSum.
  const std::vector<Fault> cases = {{kNaN, 0, 1},       {kNaN, 34, 1},      {kNaN, 33, 1},
                                    {kInfinity, 3, 1},  {kInfinity, 33, 1}, {-kInfinity, 33, 1},
                                    {-kInfinity, 2, 0}, {100.0f, 2, 1},     {100.0f, 33, 0},
                                    {50.0f, 2, 0}};
  for (const Fault& fault : cases) {
    const Tensor logits = floats({2, vocabulary});
    const Tensor labels(DType::kInt32, {2});
    labels.data<int32_t>()[0] = labels.data<int32_t>()[1] = 33;
    const int64_t row_loss = run(logits, labels, 1.0, false).loss_units() / 2;
    logits.data<float>()[fault.column] = fault.value;
    for (const bool gradient : {false, true}) {
      const CrossEntropyResult result = run(logits, labels, 1.0, gradient);
      EXPECT_EQ(result.sum.faults(kSumOverflowed), fault.faults) << fault.value << fault.column;
      if (fault.faults > 0) {
        EXPECT_EQ(result.loss_units(), row_loss) << "only the other row";
        EXPECT_EQ(result.correct_rows(), 0);
      }
    }
  }
}

TEST_F(CrossEntropyTest, AccumulatesOverTilesAndThreadsExactly) {
  const int64_t rows = 300;
  const int64_t vocabulary = 258;
  const Tensor logits = random_.normal({rows, vocabulary}, 3.0f);
  const Tensor labels = labels_for(logits);
  const CrossEntropyResult whole = run(logits, labels, 1e-3, true);
  EXPECT_GT(whole.correct_rows(), 0);

  backend_ = testing::make_backend_under_test(1);
  CrossEntropyResult tiles{.logits = copy_of(logits)};
  for (const auto& [begin, end] : {std::pair{128, 300}, std::pair{0, 1}, std::pair{1, 128}}) {
    backend_->cross_entropy({tiles.logits.view().rows(begin, end), labels.view().rows(begin, end),
                             1e-3, true, tiles.loss.view(), tiles.correct.view(), tiles.sum.sum()});
  }
  EXPECT_EQ(whole.loss_units(), tiles.loss_units());
  EXPECT_EQ(whole.correct_rows(), tiles.correct_rows());
  EXPECT_TRUE(same_bits(whole.logits.view(), tiles.logits.view()));
}

TEST_F(CrossEntropyTest, LabelsOutOfRangeAreBugs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Tensor logits = random_.normal({1, 4});
  const Tensor labels(DType::kInt32, {1});
  labels.data<int32_t>()[0] = 4;
  const auto run_it = [&]() noexcept { run(logits, labels, 1.0, false); };
  EXPECT_DEATH(run_it(), "labels\\[row\\] < vocabulary|\\[cuda\\]");
}

}  // namespace
}  // namespace reformer
