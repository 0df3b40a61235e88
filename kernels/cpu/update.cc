#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/update.cc"
#include "hwy/foreach_target.h"
// Below this line everything is read again for each instruction set.
#include <algorithm>
#include <cmath>
#include <vector>

#include "hwy/highway.h"
#include "kernels/core/fixed_point.h"
#include "kernels/core/wide_sum.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vector-inl.h"

#ifndef REFORMER_KERNELS_CPU_UPDATE_ONCE
#define REFORMER_KERNELS_CPU_UPDATE_ONCE
namespace reformer::cpu {
namespace {

/// What all elements of one AdamW update share. The bias corrections are factors here.
struct AdamWFactors {
  explicit AdamWFactors(const AdamWArgs& args)
      : correct_m(correction(args.beta1, args.step)),
        correct_v(correction(args.beta2, args.step)),
        keep(1.0f - args.rate * args.weight_decay) {}

  static float correction(float beta, int64_t step) {
    return static_cast<float>(1 /
                              (1 - std::pow(static_cast<double>(beta), static_cast<double>(step))));
  }

  float correct_m;
  float correct_v;
  float keep;  // of the parameter, after weight decay
};

}  // namespace
}  // namespace reformer::cpu
#endif  // REFORMER_KERNELS_CPU_UPDATE_ONCE

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {
namespace {

/// One AdamW update of `count` elements; `gradient` is already scaled.
void adamw_elements(const AdamWArgs& args, const AdamWFactors& factors, const float* gradient,
                    int64_t begin, size_t count) {
  const hn::ScalableTag<float> d;
  float* const parameter = args.parameter.data<float>() + begin;
  float* const m = args.m.data<float>() + begin;
  float* const v = args.v.data<float>() + begin;
  const auto beta1 = hn::Set(d, args.beta1);
  const auto beta2 = hn::Set(d, args.beta2);
  const auto take1 = hn::Set(d, 1.0f - args.beta1);
  const auto take2 = hn::Set(d, 1.0f - args.beta2);
  const auto correct_m = hn::Set(d, factors.correct_m);
  const auto correct_v = hn::Set(d, factors.correct_v);
  const auto epsilon = hn::Set(d, args.epsilon);
  const auto rate = hn::Set(d, args.rate);
  const auto keep = hn::Set(d, factors.keep);
  for_vectors(d, count, [&](size_t at, auto columns) HWY_ATTR {
    const auto g = load(d, gradient + at, columns);
    const auto new_m = hn::MulAdd(take1, g, hn::Mul(beta1, load(d, m + at, columns)));
    const auto new_v = hn::MulAdd(hn::Mul(take2, g), g, hn::Mul(beta2, load(d, v + at, columns)));
    const auto root = hn::Add(hn::Sqrt(hn::Mul(new_v, correct_v)), epsilon);
    const auto change = hn::Mul(rate, hn::Div(hn::Mul(new_m, correct_m), root));
    store(d, new_m, m + at, columns);
    store(d, new_v, v + at, columns);
    store(d, hn::MulSub(keep, load(d, parameter + at, columns), change), parameter + at, columns);
  });
}

}  // namespace
}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reformer::cpu {
namespace {

HWY_EXPORT(adamw_elements);

// Elements, rows and columns of one task.
constexpr int64_t kElements = 4096;
constexpr int64_t kRows = 16;
constexpr int64_t kColumns = 64;

double real_value(int64_t q) {
  return static_cast<double>(q) * kSumStep;
}
double real_value(float x) {
  return static_cast<double>(x);
}

/// dtype dispatch: f(int64_t*) or f(float*) with the elements of a gradient.
template <typename F>
void with_gradient_elements(const View& gradient, const F& f) {
  if (gradient.dtype() == DType::kInt64) {
    f(gradient.data<int64_t>());
  } else {
    f(gradient.data<float>());
  }
}

/// Calls body(begin, end) for pieces of [0, count) in parallel.
template <typename Body>
void for_pieces(ThreadPool& pool, int64_t count, int64_t piece, const Body& body) {
  pool.parallel_for((count + piece - 1) / piece, [&](int64_t index, int) {
    body(index * piece, std::min((index + 1) * piece, count));
  });
}

/// The tensor of an Adafactor update as a matrix; a vector is a matrix of one row.
struct Factored {
  explicit Factored(const AdafactorArgs& args)
      : rows(args.row.defined() ? args.parameter.shape()[0] : 1),
        columns(args.column.elements()),
        parameter(args.parameter.data<float>()),
        update(args.update.data<float>()),
        row(args.row.data<float>()),
        column(args.column.data<float>()),
        decay(1 - std::pow(static_cast<double>(args.step), -0.8)) {}

  /// The running mean after one more value.
  float blend(float mean, double value) const {
    return static_cast<float>(decay * static_cast<double>(mean) + (1 - decay) * value);
  }

  int64_t rows;
  int64_t columns;
  float* parameter;
  float* update;
  float* row;  // null for vectors
  float* column;
  double decay;
};

/// update = gradient; row = running means of g² + epsilon over the columns.
void load_gradient_and_rows(ThreadPool& pool, const AdafactorArgs& args, const Factored& matrix) {
  with_gradient_elements(args.gradient, [&](const auto* gradient) {
    for_pieces(pool, matrix.rows, kRows, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        double squares = 0;
        for (int64_t at = i * matrix.columns; at < (i + 1) * matrix.columns; ++at) {
          const float g = static_cast<float>(real_value(gradient[at])) * args.gradient_scale;
          matrix.update[at] = g;
          squares += static_cast<double>(g) * static_cast<double>(g);
        }
        if (matrix.row == nullptr) continue;
        const double mean = squares / static_cast<double>(matrix.columns);
        matrix.row[i] = matrix.blend(matrix.row[i], mean + static_cast<double>(args.epsilon1));
      }
    });
  });
}

/// column = running means of g² + epsilon over the rows.
void update_columns(ThreadPool& pool, const AdafactorArgs& args, const Factored& matrix) {
  for_pieces(pool, matrix.columns, kColumns, [&](int64_t first, int64_t last) {
    double squares[kColumns] = {};
    for (int64_t i = 0; i < matrix.rows; ++i) {
      const float* const g = matrix.update + i * matrix.columns;
      for (int64_t j = first; j < last; ++j) {
        squares[j - first] += static_cast<double>(g[j]) * static_cast<double>(g[j]);
      }
    }
    for (int64_t j = first; j < last; ++j) {
      const double mean = squares[j - first] / static_cast<double>(matrix.rows);
      matrix.column[j] = matrix.blend(matrix.column[j], mean + static_cast<double>(args.epsilon1));
    }
  });
}

struct RootMeanSquares {
  double update;
  double parameter;
};

/// update = g / √v, with v = row · column / mean(row), or column for vectors.
RootMeanSquares divide_by_deviation(ThreadPool& pool, const Factored& matrix) {
  std::vector<float> of_column(static_cast<size_t>(matrix.columns));
  for (size_t j = 0; j < of_column.size(); ++j) of_column[j] = 1 / std::sqrt(matrix.column[j]);
  double row_mean = 0;
  for (int64_t i = 0; matrix.row != nullptr && i < matrix.rows; ++i) {
    row_mean += static_cast<double>(matrix.row[i]) / static_cast<double>(matrix.rows);
  }
  std::vector<RootMeanSquares> squares_of_row(static_cast<size_t>(matrix.rows));
  for_pieces(pool, matrix.rows, kRows, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const double of_row =
          matrix.row == nullptr ? 1 : std::sqrt(row_mean / static_cast<double>(matrix.row[i]));
      RootMeanSquares squares{};
      for (int64_t j = 0; j < matrix.columns; ++j) {
        const int64_t at = i * matrix.columns + j;
        matrix.update[at] *= static_cast<float>(of_row) * of_column[static_cast<size_t>(j)];
        const auto u = static_cast<double>(matrix.update[at]);
        const auto p = static_cast<double>(matrix.parameter[at]);
        squares.update += u * u;
        squares.parameter += p * p;
      }
      squares_of_row[static_cast<size_t>(i)] = squares;
    }
  });
  RootMeanSquares sum{};
  for (const RootMeanSquares& squares : squares_of_row) {
    sum.update += squares.update;
    sum.parameter += squares.parameter;
  }
  const auto elements = static_cast<double>(matrix.rows * matrix.columns);
  return {.update = std::sqrt(sum.update / elements),
          .parameter = std::sqrt(sum.parameter / elements)};
}

}  // namespace

void sum_of_squares(ThreadPool& pool, const SumOfSquaresArgs& args) {
  const int64_t count = args.x.elements();
  check_gradient_view(args.x, {count});
  check_view(args.squares, DType::kInt64, {WideSum::kWords});
  std::vector<WideSum> of_thread(static_cast<size_t>(pool.threads()));
  with_gradient_elements(args.x, [&](const auto* x) {
    pool.parallel_for((count + kElements - 1) / kElements, [&](int64_t piece, int thread) {
      WideSum squares;
      const int64_t last = std::min((piece + 1) * kElements, count);
      for (int64_t begin = piece * kElements; begin < last; begin += kNormBlock) {
        double sum = 0;
        for (int64_t i = begin; i < std::min(begin + kNormBlock, last); ++i) {
          sum += real_value(x[i]) * real_value(x[i]);
        }
        squares.add(sum);
      }
      of_thread[static_cast<size_t>(thread)].add(squares);
    });
  });
  for (const WideSum& squares : of_thread) {
    for (size_t word = 0; word < squares.words().size(); ++word) {
      args.squares.data<int64_t>()[word] += squares.words()[word];
    }
  }
}

void adamw(ThreadPool& pool, const AdamWArgs& args) {
  const Shape shape{args.parameter.elements()};
  check_view(args.parameter, DType::kFloat32, shape);
  check_gradient_view(args.gradient, shape);
  check_view(args.m, DType::kFloat32, shape);
  check_view(args.v, DType::kFloat32, shape);
  CHECK_GE(args.step, 1);
  const AdamWFactors factors(args);
  with_gradient_elements(args.gradient, [&](const auto* gradient) {
    for_pieces(pool, shape.elements(), kElements, [&](int64_t begin, int64_t end) {
      float scaled[kElements];
      for (int64_t i = begin; i < end; ++i) {
        scaled[i - begin] = static_cast<float>(real_value(gradient[i])) * args.gradient_scale;
      }
      HWY_DYNAMIC_DISPATCH(adamw_elements)
      (args, factors, scaled, begin, static_cast<size_t>(end - begin));
    });
  });
}

void adafactor(ThreadPool& pool, const AdafactorArgs& args) {
  check_adafactor(args);
  const Factored matrix(args);
  load_gradient_and_rows(pool, args, matrix);
  update_columns(pool, args, matrix);
  const RootMeanSquares size = divide_by_deviation(pool, matrix);

  const double clipped = std::max(1.0, size.update / static_cast<double>(args.clip));
  const double relative = std::max(static_cast<double>(args.epsilon2), size.parameter);
  const auto rate = static_cast<float>(static_cast<double>(args.rate) * relative / clipped);
  const float keep = 1 - args.rate * args.weight_decay;
  for_pieces(pool, args.parameter.elements(), kElements, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      matrix.parameter[i] = keep * matrix.parameter[i] - rate * matrix.update[i];
    }
  });
}

}  // namespace reformer::cpu
#endif  // HWY_ONCE
