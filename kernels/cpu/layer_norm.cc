#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/layer_norm.cc"
#include "hwy/foreach_target.h"
// Below this line everything is read again for each instruction set.
#include <algorithm>
#include <cmath>
#include <vector>

#include "hwy/highway.h"
#include "kernels/cpu/exact_sum.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

struct RowStatistics {
  float mean;
  float reciprocal_deviation;  // 1 / sqrt(variance + epsilon)
};

/// Two passes: the variance of centred values does not cancel.
template <typename T>
RowStatistics statistics_of(const T* x, size_t width, float epsilon) {
  const D d;
  const auto count = static_cast<float>(width);
  const float mean = sum_vectors(d, width,
                                 [&](size_t column, auto columns)
                                     HWY_ATTR { return load_float(d, x + column, columns); }) /
                     count;
  const V mean_vector = hn::Set(d, mean);
  const float variance =
      sum_vectors(d, width,
                  [&](size_t column, auto columns) HWY_ATTR {
                    const V centred =
                        with_rest(d, hn::Sub(load_float(d, x + column, columns), mean_vector),
                                  hn::Zero(d), columns);
                    return hn::Mul(centred, centred);
                  }) /
      count;
  return {.mean = mean, .reciprocal_deviation = 1.0f / std::sqrt(variance + epsilon)};
}

template <typename T>
void normalize_row(const T* x, const float* gamma, const float* beta, size_t width, float epsilon,
                   float* y) {
  const D d;
  const RowStatistics statistics = statistics_of(x, width, epsilon);
  const V mean = hn::Set(d, statistics.mean);
  const V scale = hn::Set(d, statistics.reciprocal_deviation);
  for_vectors(d, width, [&](size_t column, auto columns) HWY_ATTR {
    const V unit = hn::Mul(hn::Sub(load_float(d, x + column, columns), mean), scale);
    store(d, hn::MulAdd(unit, load(d, gamma + column, columns), load(d, beta + column, columns)),
          y + column, columns);
  });
}

void layer_norm(ThreadPool& pool, const LayerNormArgs& args) {
  const int64_t rows = args.x.shape()[0];
  const auto width = static_cast<size_t>(args.x.shape()[1]);
  const float* gamma = args.gamma.data<float>();
  const float* beta = args.beta.data<float>();
  float* y = args.y.data<float>();
  with_stream_elements(args.x, [&](const auto* x) {
    for_row_blocks(pool, 0, rows, args.x.shape()[1], [&](int64_t begin, int64_t end) {
      for (auto row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row) {
        normalize_row(x + row * width, gamma, beta, width, args.epsilon, y + row * width);
      }
    });
  });
}

/// With u = (x − mean) / deviation and g = dy · gamma, both of one row:
///   dx = (g − mean(g) − u · mean(g · u)) / deviation.
template <typename T>
RowStatistics normalize_row_backward(const T* x, const float* gamma, const float* dy, size_t width,
                                     const LayerNormBackwardArgs& args, float* dx) {
  const D d;
  const auto count = static_cast<float>(width);
  const RowStatistics statistics = statistics_of(x, width, args.epsilon);
  const V mean = hn::Set(d, statistics.mean);
  const V scale = hn::Set(d, statistics.reciprocal_deviation);
  const auto unit_at = [&](size_t column, auto columns) HWY_ATTR {
    return hn::Mul(hn::Sub(load_float(d, x + column, columns), mean), scale);
  };
  const auto gradient_at = [&](size_t column, auto columns) HWY_ATTR {
    return hn::Mul(load(d, dy + column, columns), load(d, gamma + column, columns));
  };
  const float gradient_mean = sum_vectors(d, width, gradient_at) / count;
  const float product_mean =
      sum_vectors(d, width,
                  [&](size_t column, auto columns) HWY_ATTR {
                    return hn::Mul(gradient_at(column, columns), unit_at(column, columns));
                  }) /
      count;
  const V a = hn::Set(d, gradient_mean);
  const V b = hn::Set(d, product_mean);
  for_vectors(d, width, [&](size_t column, auto columns) HWY_ATTR {
    const V centred =
        hn::NegMulAdd(unit_at(column, columns), b, hn::Sub(gradient_at(column, columns), a));
    const V old = args.accumulate ? load(d, dx + column, columns) : hn::Zero(d);
    store(d, hn::MulAdd(centred, scale, old), dx + column, columns);
  });
  return statistics;
}

/// Columns of dgamma and dbeta that one task sums.
constexpr size_t kColumnBlock = 128;

/// Adds the rows [begin, end) of dy · u and of dy, in row order, for `width` <= kColumnBlock
/// columns. All pointers but `statistics` start at the first of them.
template <typename T>
void sum_columns(const T* x, const float* dy, size_t stride, const RowStatistics* statistics,
                 size_t rows, size_t width, float* dgamma, float* dbeta) {
  const D d;
  for (size_t row = 0; row < rows; ++row, x += stride, dy += stride) {
    const V mean = hn::Set(d, statistics[row].mean);
    const V scale = hn::Set(d, statistics[row].reciprocal_deviation);
    for_vectors(d, width, [&](size_t column, auto columns) HWY_ATTR {
      const V unit = hn::Mul(hn::Sub(load_float(d, x + column, columns), mean), scale);
      const V gradient = load(d, dy + column, columns);
      // The sums have room for a whole vector even where the row ends in a part.
      hn::StoreU(hn::MulAdd(gradient, unit, hn::LoadU(d, dgamma + column)), d, dgamma + column);
      hn::StoreU(hn::Add(gradient, hn::LoadU(d, dbeta + column)), d, dbeta + column);
    });
  }
}

void layer_norm_backward(ThreadPool& pool, const LayerNormBackwardArgs& args) {
  const auto width = static_cast<size_t>(args.x.shape()[1]);
  const float* gamma = args.gamma.data<float>();
  const float* dy = args.dy.data<float>();
  float* dx = args.dx.data<float>();
  const int64_t leaf_rows = std::min(args.layout.leaf, args.layout.length);
  std::vector<RowStatistics> statistics(static_cast<size_t>(leaf_rows));
  const auto backward_of_leaf = [&](const auto* x, int64_t begin, int64_t end) {
    for_row_blocks(pool, begin, end, args.x.shape()[1], [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        const size_t at = static_cast<size_t>(row) * width;
        statistics[static_cast<size_t>(row - begin)] =
            normalize_row_backward(x + at, gamma, dy + at, width, args, dx + at);
      }
    });
    const int64_t blocks = static_cast<int64_t>((width + kColumnBlock - 1) / kColumnBlock);
    pool.parallel_for(blocks, [&](int64_t block, int) {
      const size_t column = static_cast<size_t>(block) * kColumnBlock;
      const size_t columns = std::min(kColumnBlock, width - column);
      const size_t at = static_cast<size_t>(begin) * width + column;
      HWY_ALIGN float dgamma[kColumnBlock + hn::MaxLanes(D())] = {};
      HWY_ALIGN float dbeta[kColumnBlock + hn::MaxLanes(D())] = {};
      sum_columns(x + at, dy + at, width, statistics.data(), static_cast<size_t>(end - begin),
                  columns, dgamma, dbeta);
      add_partial({dgamma, columns}, args.dgamma, static_cast<int64_t>(column), args.sum);
      add_partial({dbeta, columns}, args.dbeta, static_cast<int64_t>(column), args.sum);
    });
  };
  // One leaf after the other, so that the second walk over its rows finds them in the cache.
  with_stream_elements(args.x, [&](const auto* x) {
    for_leaves(args.layout, [&](int64_t begin, int64_t end) { backward_of_leaf(x, begin, end); });
  });
}

}  // namespace
}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reformer::cpu {
namespace {

HWY_EXPORT(layer_norm);
HWY_EXPORT(layer_norm_backward);

}  // namespace

void layer_norm(ThreadPool& pool, const LayerNormArgs& args) {
  CHECK_EQ(args.x.shape().rank(), 2);
  const int64_t width = args.x.shape()[1];
  CHECK_GE(width, 1);
  check_stream(args.x, args.x.shape());
  check_view(args.gamma, DType::kFloat32, {width});
  check_view(args.beta, DType::kFloat32, {width});
  check_view(args.y, DType::kFloat32, args.x.shape());
  HWY_DYNAMIC_DISPATCH(layer_norm)(pool, args);
}

void layer_norm_backward(ThreadPool& pool, const LayerNormBackwardArgs& args) {
  CHECK_EQ(args.x.shape().rank(), 2);
  const int64_t width = args.x.shape()[1];
  CHECK_GE(width, 1);
  check_stream(args.x, {args.layout.rows(), width});
  check_view(args.gamma, DType::kFloat32, {width});
  check_view(args.dy, DType::kFloat32, args.x.shape());
  check_view(args.dx, DType::kFloat32, args.x.shape());
  check_gradient(args.dgamma, {width}, args.sum);
  check_gradient(args.dbeta, {width}, args.sum);
  HWY_DYNAMIC_DISPATCH(layer_norm_backward)(pool, args);
}

}  // namespace reformer::cpu
#endif  // HWY_ONCE
