#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/token.cc"
#include "hwy/foreach_target.h"
// Below this line everything is read again for each instruction set.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "hwy/highway.h"
#include "kernels/cpu/exact_sum.h"
#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// One axis of the positions: its part of a row, and the digit that a position has there.
struct Axis {
  View table;      // [extent, width], values or gradient
  int64_t column;  // of the row, where its part begins
  int64_t stride;  // positions between two values of the digit
  int64_t extent;
  int64_t width;

  int64_t digit(int64_t position) const { return position / stride % extent; }
};

std::vector<Axis> make_axes(std::span<const View> tables) {
  std::vector<Axis> axes(tables.size());
  int64_t column = 0;
  for (size_t a = 0; a < tables.size(); ++a) {
    const Shape& shape = tables[a].shape();
    axes[a] = {tables[a], column, 1, shape[0], shape[1]};
    column += shape[1];
  }
  int64_t stride = 1;
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    axis->stride = stride;
    stride *= axis->extent;
  }
  return axes;
}

void embed(ThreadPool& pool, const EmbedArgs& args) {
  const D d;
  const int64_t vocabulary = args.table.shape()[0];
  const int64_t width = args.table.shape()[1];
  const int32_t* tokens = args.tokens.data<int32_t>();
  const std::vector<Axis> axes = make_axes(args.axes);
  for_row_blocks(pool, 0, args.layout.rows(), width, [&](int64_t begin, int64_t end) HWY_ATTR {
    for (int64_t row = begin; row < end; ++row) {
      CHECK(0 <= tokens[row] && tokens[row] < vocabulary);
      const float* value = args.table.data<float>() + tokens[row] * width;
      float* y = args.y.data<float>() + row * width;
      if (axes.empty()) std::copy_n(value, width, y);
      const int64_t position = args.layout.first_position + row % args.layout.length;
      for (const Axis& axis : axes) {
        const float* offset = axis.table.data<float>() + axis.digit(position) * axis.width;
        const float* from = value + axis.column;
        float* to = y + axis.column;
        for_vectors(d, static_cast<size_t>(axis.width), [&](size_t column, auto columns) HWY_ATTR {
          const V sum = hn::Add(load(d, from + column, columns), load(d, offset + column, columns));
          store(d, sum, to + column, columns);
        });
      }
    }
  });
}

/// Tables are split by columns, so that tokens meet in a row of a table in their order and without
/// locks.
void embed_backward(ThreadPool& pool, const EmbedBackwardArgs& args) {
  constexpr int64_t kColumnBlock = 128;
  const int64_t vocabulary = args.dtable.shape()[0];
  const int64_t width = args.dtable.shape()[1];
  const int32_t* tokens = args.tokens.data<int32_t>();
  const std::vector<Axis> axes = make_axes(args.daxes);
  pool.parallel_for((width + kColumnBlock - 1) / kColumnBlock, [&](int64_t block, int) {
    const int64_t first = block * kColumnBlock;
    const int64_t last = std::min(first + kColumnBlock, width);
    const auto add = [&](const float* dy, int64_t begin, int64_t end, const View& table,
                         int64_t offset) {
      add_partial({dy + begin, dy + end}, table, offset, args.sum);
    };
    for (int64_t row = 0; row < args.layout.rows(); ++row) {
      CHECK(0 <= tokens[row] && tokens[row] < vocabulary);
      const float* dy = args.dy.data<float>() + row * width;
      add(dy, first, last, args.dtable, tokens[row] * width + first);
      const int64_t position = args.layout.first_position + row % args.layout.length;
      for (const Axis& axis : axes) {
        const int64_t begin = std::max(first, axis.column);
        const int64_t end = std::min(last, axis.column + axis.width);
        if (begin >= end) continue;
        add(dy, begin, end, axis.table, axis.digit(position) * axis.width + begin - axis.column);
      }
    }
  });
}

float largest(const float* x, size_t count) {
  const D d;
  const V lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  V result = lowest;
  for_vectors(d, count, [&](size_t column, auto columns) HWY_ATTR {
    result = hn::Max(result, with_rest(d, load(d, x + column, columns), lowest, columns));
  });
  return hn::GetLane(hn::MaxOfLanes(d, result));
}

/// Σ exp(x − maximum), NaN if any x is. With kReplace x becomes exp(x − maximum). Long rows are
/// added up in double precision, block by block.
template <bool kReplace>
double sum_of_exponentials(float* x, size_t count, float maximum) {
  constexpr size_t kBlock = 1024;
  const D d;
  const V shift = hn::Set(d, maximum);
  double sum = 0;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    float* block = x + begin;
    sum += static_cast<double>(
        sum_vectors(d, std::min(kBlock, count - begin), [&](size_t column, auto columns) HWY_ATTR {
          const V value = exp_nonpositive(d, hn::Sub(load(d, block + column, columns), shift));
          if (kReplace) store(d, value, block + column, columns);
          return with_rest(d, value, hn::Zero(d), columns);
        }));
  }
  return sum;
}

struct RowLoss {
  double loss;   // in nats, not scaled
  bool correct;  // the label has the first of the largest logits
};

/// With `args.gradient`, x becomes the gradient.
RowLoss row_loss(const CrossEntropyArgs& args, float* x, size_t count, size_t label) {
  const D d;
  const float maximum = largest(x, count);
  const float at_label = x[label];
  const bool correct = at_label == maximum && std::find(x, x + label, maximum) == x + label;
  const double sum = args.gradient ? sum_of_exponentials<true>(x, count, maximum)
                                   : sum_of_exponentials<false>(x, count, maximum);
  if (args.gradient) {
    const double probability = static_cast<double>(x[label]) / sum;
    const V factor = hn::Set(d, static_cast<float>(args.scale / sum));
    for_vectors(d, count, [&](size_t column, auto columns) HWY_ATTR {
      store(d, hn::Mul(load(d, x + column, columns), factor), x + column, columns);
    });
    x[label] = static_cast<float>(args.scale * (probability - 1));
  }
  const double loss =
      std::log(sum) + (static_cast<double>(maximum) - static_cast<double>(at_label));
  return {.loss = loss, .correct = correct && std::isfinite(loss)};
}

void add_atomically(const View& view, int64_t element, int64_t value) {
  if (value == 0) return;
  std::atomic_ref(view.data<int64_t>()[element]).fetch_add(value, std::memory_order_relaxed);
}

void cross_entropy(ThreadPool& pool, const CrossEntropyArgs& args) {
  const int64_t rows = args.logits.shape()[0];
  const int64_t vocabulary = args.logits.shape()[1];
  const auto count = static_cast<size_t>(vocabulary);
  const int32_t* labels = args.labels.data<int32_t>();
  for_row_blocks(pool, 0, rows, vocabulary, [&](int64_t begin, int64_t end) {
    int64_t loss = 0;
    int64_t correct = 0;
    int64_t faults = 0;
    for (int64_t row = begin; row < end; ++row) {
      float* x = args.logits.data<float>() + row * vocabulary;
      if (labels[row] == kIgnoredLabel) {
        if (args.gradient) std::fill_n(x, vocabulary, 0.0f);
        continue;
      }
      CHECK(0 <= labels[row] && labels[row] < vocabulary);
      const RowLoss result = row_loss(args, x, count, static_cast<size_t>(labels[row]));
      bool overflowed = false;
      loss += sum_term(args.scale * result.loss, args.sum.limit, &overflowed);
      faults += overflowed ? 1 : 0;
      correct += result.correct ? 1 : 0;
    }
    add_atomically(args.loss, 0, loss);
    add_atomically(args.correct, 0, correct);
    add_atomically(args.sum.faults, kSumOverflowed, faults);
  });
}

}  // namespace
}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reformer::cpu {
namespace {

HWY_EXPORT(embed);
HWY_EXPORT(embed_backward);
HWY_EXPORT(cross_entropy);

}  // namespace

void embed(ThreadPool& pool, const EmbedArgs& args) {
  CHECK_EQ(args.table.shape().rank(), 2);
  const int64_t width = args.table.shape()[1];
  check_view(args.tokens, DType::kInt32, {args.layout.rows()});
  check_view(args.table, DType::kFloat32, args.table.shape());
  check_view(args.y, DType::kFloat32, {args.layout.rows(), width});
  for (const View& axis : args.axes) check_view(axis, DType::kFloat32, axis.shape());
  check_axes(args.layout, args.axes, width);
  HWY_DYNAMIC_DISPATCH(embed)(pool, args);
}

void embed_backward(ThreadPool& pool, const EmbedBackwardArgs& args) {
  CHECK_EQ(args.dtable.shape().rank(), 2);
  const int64_t width = args.dtable.shape()[1];
  check_view(args.tokens, DType::kInt32, {args.layout.rows()});
  check_view(args.dy, DType::kFloat32, {args.layout.rows(), width});
  check_gradient(args.dtable, args.dtable.shape(), args.sum);
  for (const View& daxis : args.daxes) check_gradient(daxis, daxis.shape(), args.sum);
  check_axes(args.layout, args.daxes, width);
  HWY_DYNAMIC_DISPATCH(embed_backward)(pool, args);
}

void cross_entropy(ThreadPool& pool, const CrossEntropyArgs& args) {
  CHECK_EQ(args.logits.shape().rank(), 2);
  CHECK_GE(args.logits.shape()[1], 1);
  check_view(args.logits, DType::kFloat32, args.logits.shape());
  check_view(args.labels, DType::kInt32, {args.logits.shape()[0]});
  check_view(args.loss, DType::kInt64, {1});
  check_view(args.correct, DType::kInt64, {1});
  check_gradient(args.loss, {1}, args.sum);
  HWY_DYNAMIC_DISPATCH(cross_entropy)(pool, args);
}

}  // namespace reformer::cpu
#endif  // HWY_ONCE
