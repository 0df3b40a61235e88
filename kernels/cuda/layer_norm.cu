#include "kernels/cuda/chunk.cuh"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/gradient.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_team.cuh"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {
namespace {

struct RowStatistics {
  float mean;
  float scale;  // 1 / sqrt(variance + epsilon)
};

/// Two passes: the variance of centred values does not cancel.
template <typename Team, int N, typename X>
__device__ RowStatistics statistics_of(const RowReader<Team, N, X>& row, int64_t width,
                                       float epsilon) {
  const auto elements = static_cast<float>(width);
  float sum = 0;
  row.each([&](int, int, const float(&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) sum += x[i];  // 0 beyond the row
  });
  const float mean = Team::sum(sum) / elements;
  float squares = 0;
  row.each([&](int, int count, const float(&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float centred = i < count ? x[i] - mean : 0.0f;
      squares = fmaf(centred, centred, squares);
    }
  });
  const float variance = Team::sum(squares) / elements;
  return {.mean = mean, .scale = 1.0f / sqrtf(variance + epsilon)};
}

template <typename X, typename Y>
struct Forward {
  const X* x;
  const float* gamma;
  const float* beta;
  Y* y;
  int64_t rows;
  int64_t width;
  float epsilon;
  bool whole;
};

template <typename Team, typename X, typename Y>
__global__ void __launch_bounds__(Team::kThreads, Team::kResidentBlocks)
    layer_norm_kernel(Forward<X, Y> args) {
  constexpr int N = kChunk<X, Y>;
  const int64_t row = Team::row();
  if (row >= args.rows) return;
  const RowReader<Team, N, X> x(args.x + row * args.width, args.width, args.whole);
  const RowStatistics statistics = statistics_of(x, args.width, args.epsilon);
  Y* const y = args.y + row * args.width;
  x.each([&](int column, int count, const float(&values)[N]) {
    float gamma[N];
    float beta[N];
    load_chunk(args.gamma + column, count, args.whole, gamma);
    load_chunk(args.beta + column, count, args.whole, beta);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float unit = (values[i] - statistics.mean) * statistics.scale;
      beta[i] = fmaf(unit, gamma[i], beta[i]);
    }
    store_chunk(y + column, count, args.whole, beta);
  });
}

template <typename X, typename Y, typename DX>
struct Backward {
  const X* x;
  const float* gamma;
  const Y* dy;
  DX* dx;
  RowStatistics* statistics;  // [rows], for the sums over the rows
  int64_t rows;
  int64_t width;
  float epsilon;
  bool accumulate;
  bool whole;
};

/// With u = (x − mean) / deviation and g = dy · gamma, both of one row:
///   dx = (g − mean(g) − u · mean(g · u)) / deviation.
template <typename Team, typename X, typename Y, typename DX>
__global__ void __launch_bounds__(Team::kThreads, Team::kResidentBlocks)
    layer_norm_backward_kernel(Backward<X, Y, DX> args) {
  constexpr int N = kChunk<X, Y, DX>;
  const int64_t row = Team::row();
  if (row >= args.rows) return;
  const RowReader<Team, N, X> x(args.x + row * args.width, args.width, args.whole);
  const RowReader<Team, N, Y> dy(args.dy + row * args.width, args.width, args.whole);
  const RowStatistics statistics = statistics_of(x, args.width, args.epsilon);
  if (Team::thread() == 0) args.statistics[row] = statistics;

  const auto unit_of = [&](float value) { return (value - statistics.mean) * statistics.scale; };
  float gradient_sum = 0;
  float product_sum = 0;
  x.each_with(dy, [&](int column, int count, const float(&values)[N], const float(&dys)[N]) {
    float gamma[N];
    load_chunk(args.gamma + column, count, args.whole, gamma);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float gradient = dys[i] * gamma[i];  // 0 beyond the row
      gradient_sum += gradient;
      product_sum = fmaf(gradient, unit_of(values[i]), product_sum);
    }
  });
  const float gradient_mean = Team::sum(gradient_sum) / static_cast<float>(args.width);
  const float product_mean = Team::sum(product_sum) / static_cast<float>(args.width);

  DX* const dx = args.dx + row * args.width;
  x.each_with(dy, [&](int column, int count, const float(&values)[N], const float(&dys)[N]) {
    float gamma[N];
    float result[N] = {};
    load_chunk(args.gamma + column, count, args.whole, gamma);
    if (args.accumulate) load_chunk(dx + column, count, args.whole, result);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float centred =
          fmaf(-unit_of(values[i]), product_mean, dys[i] * gamma[i] - gradient_mean);
      result[i] = fmaf(centred, statistics.scale, result[i]);
    }
    store_chunk(dx + column, count, args.whole, result);
  });
}

/// The terms of dgamma and dbeta.
template <typename X, typename Y>
struct ParameterTerms {
  static constexpr int kChunk = cuda::kChunk<X, Y>;
  static constexpr int kSums = 2;

  __device__ void operator()(int64_t row, int64_t column, int count, bool whole,
                             float (&sums)[kSums][kChunk]) const {
    const RowStatistics of_row = statistics[row];
    float values[kChunk];
    float dys[kChunk];
    load_chunk(x + row * width + column, count, whole, values);
    load_chunk(dy + row * width + column, count, whole, dys);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      const float unit = (values[i] - of_row.mean) * of_row.scale;
      sums[0][i] = fmaf(dys[i], unit, sums[0][i]);
      sums[1][i] += dys[i];
    }
  }

  const X* x;
  const Y* dy;
  const RowStatistics* statistics;
  int64_t width;
};

/// dtype dispatch: f(x, Y{}) with the elements of x, a stream or an activation of Y.
template <typename F>
void with_input(const View& x, DType y, const F& f) {
  with_element_type(y, [&](auto element) {
    if (x.dtype() == DType::kFixed32) {
      f(x.data<uint32_t>(), element);
    } else if (x.dtype() == DType::kFloat32) {
      f(x.data<float>(), element);
    } else if constexpr (std::is_same_v<decltype(element), __nv_bfloat16>) {
      f(x.data<__nv_bfloat16>(), element);
    }
  });
}

void check_input(const View& x, const View& y, int64_t rows) {
  CHECK_EQ(x.shape().rank(), 2);
  CHECK_EQ(x.shape()[0], rows);
  CHECK_GE(x.shape()[1], 1);
  CHECK(x.dtype() == DType::kFloat32 || x.dtype() == DType::kFixed32 || x.dtype() == y.dtype());
  check_activation(y, x.shape());
}

}  // namespace

void layer_norm(Runtime& runtime, const LayerNormArgs& args) {
  check_input(args.x, args.y, args.x.shape()[0]);
  const int64_t rows = args.x.shape()[0];
  const int64_t width = args.x.shape()[1];
  check_view(args.gamma, DType::kFloat32, {width});
  check_view(args.beta, DType::kFloat32, {width});
  with_input(args.x, args.y.dtype(), [&](const auto* x, auto element) {
    using X = std::remove_cv_t<std::remove_pointer_t<decltype(x)>>;
    using Y = decltype(element);
    const Forward<X, Y> forward{
        .x = x,
        .gamma = args.gamma.data<float>(),
        .beta = args.beta.data<float>(),
        .y = args.y.data<Y>(),
        .rows = rows,
        .width = width,
        .epsilon = args.epsilon,
        .whole = whole_chunks(width, kChunk<X, Y>,
                              {args.x.raw(), args.gamma.raw(), args.beta.raw(), args.y.raw()})};
    launch_teams(
        runtime, rows, width, [](auto team) { return layer_norm_kernel<decltype(team), X, Y>; },
        forward);
  });
}

void layer_norm_backward(Runtime& runtime, const LayerNormBackwardArgs& args) {
  check_input(args.x, args.dy, args.layout.rows());
  const int64_t rows = args.x.shape()[0];
  const int64_t width = args.x.shape()[1];
  const bool is_stream = args.x.dtype() != args.dy.dtype() || args.x.dtype() == DType::kFloat32;
  check_view(args.gamma, DType::kFloat32, {width});
  check_view(args.dx, is_stream ? DType::kFloat32 : args.dy.dtype(), args.x.shape());
  check_gradient(args.dgamma, {width}, args.sum);
  check_gradient(args.dbeta, {width}, args.sum);

  const Workspace::Mark mark(runtime.workspace());
  const View statistics = runtime.workspace().allocate(DType::kFloat32, {rows, 2});
  auto* const of_row = reinterpret_cast<RowStatistics*>(statistics.data<float>());
  with_input(args.x, args.dy.dtype(), [&](const auto* x, auto element) {
    using X = std::remove_cv_t<std::remove_pointer_t<decltype(x)>>;
    using Y = decltype(element);
    using DX = std::conditional_t<std::is_same_v<X, __nv_bfloat16>, __nv_bfloat16, float>;
    constexpr int N = kChunk<X, Y, DX>;
    const Backward<X, Y, DX> backward{
        .x = x,
        .gamma = args.gamma.data<float>(),
        .dy = args.dy.data<Y>(),
        .dx = args.dx.data<DX>(),
        .statistics = of_row,
        .rows = rows,
        .width = width,
        .epsilon = args.epsilon,
        .accumulate = args.accumulate,
        .whole =
            whole_chunks(width, N, {args.x.raw(), args.gamma.raw(), args.dy.raw(), args.dx.raw()})};
    launch_teams(
        runtime, rows, width,
        [](auto team) { return layer_norm_backward_kernel<decltype(team), X, Y, DX>; }, backward);
    const ParameterTerms<X, Y> terms{x, args.dy.data<Y>(), of_row, width};
    add_leaf_sums(runtime, args.layout, width, terms,
                  whole_chunks(width, terms.kChunk, {args.x.raw(), args.dy.raw()}),
                  {args.dgamma, args.dbeta}, args.sum);
  });
}

}  // namespace reformer::cuda
