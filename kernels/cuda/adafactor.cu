#include <cmath>

#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/for_chunks.cuh"
#include "kernels/cuda/gradient.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kResidentBlocks = 8;  // of a multiprocessor

/// The tensor of an update as a matrix; a vector is a matrix of one row.
struct Factored {
  explicit Factored(const AdafactorArgs& args)
      : rows(args.row.defined() ? args.parameter.shape()[0] : 1),
        columns(args.column.elements()),
        parameter(args.parameter.data<float>()),
        update(args.update.data<float>()),
        row(args.row.data<float>()),
        column(args.column.data<float>()),
        decay(1 - std::pow(static_cast<double>(args.step), -0.8)),
        epsilon1(static_cast<double>(args.epsilon1)),
        gradient_scale(args.gradient_scale) {}

  /// The running mean of g² + epsilon1 after one more value of g².
  __device__ float blend(float mean, double value) const {
    return static_cast<float>(decay * static_cast<double>(mean) + (1 - decay) * (value + epsilon1));
  }

  int64_t rows;
  int64_t columns;
  float* parameter;
  float* update;
  float* row;  // null for vectors
  float* column;
  double decay;
  double epsilon1;
  float gradient_scale;
};

/// Σ over a block of kThreads threads, in a fixed order, on every thread.
__device__ double block_sum(double value) {
  constexpr int kWarps = kThreads / kWarp;
  __shared__ double of_warp[kWarps];
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kFullWarp, value, distance);
  }
  __syncthreads();  // those of the sum before have been read
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = of_warp[0];
#pragma unroll
  for (int warp = 1; warp < kWarps; ++warp) value += of_warp[warp];
  return value;
}

/// update = gradient; row = running means over the columns. A block for each row.
template <typename G>
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    adafactor_rows(const __grid_constant__ Factored matrix, const G* gradient) {
  const int64_t begin = blockIdx.x * matrix.columns;
  double squares = 0;
#pragma unroll 4
  for (int64_t j = threadIdx.x; j < matrix.columns; j += kThreads) {
    const float g = static_cast<float>(real_value(gradient[begin + j])) * matrix.gradient_scale;
    matrix.update[begin + j] = g;
    squares = add_square(squares, static_cast<double>(g));
  }
  if (matrix.row == nullptr) return;
  const double mean = block_sum(squares) / static_cast<double>(matrix.columns);
  if (threadIdx.x == 0) matrix.row[blockIdx.x] = matrix.blend(matrix.row[blockIdx.x], mean);
}

constexpr int64_t kRowsOfSum = 128;

/// sums [blocks, columns] = Σ update² over kRowsOfSum rows.
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    adafactor_column_sums(const __grid_constant__ Factored matrix, double* sums) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= matrix.columns) return;
  const int64_t begin = blockIdx.y * kRowsOfSum;
  const int64_t end = min(begin + kRowsOfSum, matrix.rows);
  double squares = 0;
#pragma unroll 4
  for (int64_t i = begin; i < end; ++i) {
    squares = add_square(squares, static_cast<double>(matrix.update[i * matrix.columns + column]));
  }
  sums[blockIdx.y * matrix.columns + column] = squares;
}

/// column = running means over the rows.
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    adafactor_columns(const __grid_constant__ Factored matrix, const double* sums, int64_t blocks) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= matrix.columns) return;
  double squares = 0;
  for (int64_t block = 0; block < blocks; ++block) {
    squares += sums[block * matrix.columns + column];
  }
  const double mean = squares / static_cast<double>(matrix.rows);
  matrix.column[column] = matrix.blend(matrix.column[column], mean);
}

/// One block: the mean of `row`.
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    adafactor_row_mean(const __grid_constant__ Factored matrix, double* mean) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < matrix.rows; i += kThreads) {
    sum += static_cast<double>(matrix.row[i]) / static_cast<double>(matrix.rows);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) *mean = sum;
}

struct Squares {
  double update;
  double parameter;
};

/// update = g / √v, with v = row · column / mean(row), or column for vectors. A block for each row.
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    adafactor_divide(const __grid_constant__ Factored matrix, const double* row_mean,
                     Squares* squares) {
  const int64_t begin = blockIdx.x * matrix.columns;
  const auto of_row = static_cast<float>(
      matrix.row == nullptr ? 1.0 : sqrt(*row_mean / static_cast<double>(matrix.row[blockIdx.x])));
  Squares sum{};
#pragma unroll 2
  for (int64_t j = threadIdx.x; j < matrix.columns; j += kThreads) {
    const float of_column = 1 / sqrtf(matrix.column[j]);
    const float update = matrix.update[begin + j] * __fmul_rn(of_row, of_column);
    matrix.update[begin + j] = update;
    sum.update = add_square(sum.update, static_cast<double>(update));
    sum.parameter = add_square(sum.parameter, static_cast<double>(matrix.parameter[begin + j]));
  }
  sum.update = block_sum(sum.update);
  sum.parameter = block_sum(sum.parameter);
  if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

struct RateSettings {
  double rate;
  double epsilon2;
  double clip;
};

/// One block: the rate from the root mean squares of update and parameter.
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    adafactor_rate(const __grid_constant__ Factored matrix, const Squares* squares,
                   const __grid_constant__ RateSettings settings, float* rate) {
  Squares sum{};
  for (int64_t i = threadIdx.x; i < matrix.rows; i += kThreads) {
    sum.update += squares[i].update;
    sum.parameter += squares[i].parameter;
  }
  const auto elements = static_cast<double>(matrix.rows * matrix.columns);
  const double of_update = sqrt(block_sum(sum.update) / elements);
  const double of_parameter = sqrt(block_sum(sum.parameter) / elements);
  const double clipped = fmax(1.0, of_update / settings.clip);
  const double relative = fmax(settings.epsilon2, of_parameter);
  if (threadIdx.x == 0) *rate = static_cast<float>(settings.rate * relative / clipped);
}

struct Step {
  static constexpr int kChunk = cuda::kChunk<float>;

  __device__ void operator()(const ChunkPosition& at) const {
    float p[kChunk];
    float u[kChunk];
    load_chunk(parameter + at.at, at.count, at.whole, p);
    load_chunk(update + at.at, at.count, at.whole, u);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) p[i] = fmaf(keep, p[i], -__fmul_rn(*rate, u[i]));
    store_chunk(parameter + at.at, at.count, at.whole, p);
  }

  float* parameter;
  const float* update;
  const float* rate;
  float keep;
};

dim3 blocks_for(int64_t count) {
  return dim3(static_cast<uint32_t>(divide_up(count, kThreads)));
}

}  // namespace

void adafactor(Runtime& runtime, const AdafactorArgs& args) {
  check_adafactor(args);
  const Factored matrix(args);
  const int64_t sums = divide_up(matrix.rows, kRowsOfSum);
  const Workspace::Mark mark(runtime.workspace());
  const auto doubles = [&](const Shape& shape) {
    return runtime.workspace().allocate(DType::kFloat64, shape).template data<double>();
  };
  double* const column_sums = doubles({sums, matrix.columns});
  double* const row_mean = doubles({1});
  auto* const squares = reinterpret_cast<Squares*>(doubles({matrix.rows, 2}));
  float* const rate = runtime.workspace().allocate(DType::kFloat32, {1}).data<float>();

  const dim3 per_row(static_cast<uint32_t>(matrix.rows));
  const dim3 per_column = blocks_for(matrix.columns);
  const auto run = [&](auto kernel, dim3 grid, const auto&... arguments) {
    launch(runtime, kernel, grid, dim3(kThreads), 0, matrix, arguments...);
  };
  with_gradient(args.gradient, [&](const auto* gradient) {
    using G = std::remove_cv_t<std::remove_pointer_t<decltype(gradient)>>;
    run(adafactor_rows<G>, per_row, gradient);
  });
  run(adafactor_column_sums, dim3(per_column.x, static_cast<uint32_t>(sums)), column_sums);
  run(adafactor_columns, per_column, column_sums, sums);
  if (matrix.row != nullptr) run(adafactor_row_mean, dim3(1), row_mean);
  run(adafactor_divide, per_row, row_mean, squares);
  run(adafactor_rate, dim3(1), squares,
      RateSettings{.rate = static_cast<double>(args.rate),
                   .epsilon2 = static_cast<double>(args.epsilon2),
                   .clip = static_cast<double>(args.clip)},
      rate);
  const int64_t n = args.parameter.elements();
  const bool whole = whole_chunks(n, kChunk<float>, {matrix.parameter, matrix.update});
  for_chunks(runtime, 1, n, whole,
             Step{.parameter = matrix.parameter,
                  .update = matrix.update,
                  .rate = rate,
                  .keep = 1 - args.rate * args.weight_decay});
}

}  // namespace reformer::cuda
