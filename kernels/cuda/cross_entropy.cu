#include <limits>

#include "kernels/cuda/chunk.cuh"
#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/gradient.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/row_team.cuh"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

/// The largest logit and the first column that has it.
struct Largest {
  float value;
  int column;

  __device__ Largest from_lane(int distance) const {
    return {__shfl_xor_sync(kFullWarp, value, distance),
            __shfl_xor_sync(kFullWarp, column, distance)};
  }
};

/// What exponents are taken relative to; a row of −∞ alone gives NaN later, not here.
__device__ float reference_of(float maximum) {
  return maximum == kLowest ? 0.0f : maximum;
}

struct RowSums {
  Largest largest;
  double exponentials;  // Σ exp(x − largest), NaN if any x is
};

/// One walk: each thread takes its own maximum as it goes on.
template <typename Team, int N>
__device__ RowSums sums_of(const RowReader<Team, N, float>& row) {
  Largest mine{.value = kLowest, .column = std::numeric_limits<int>::max()};
  float sum = 0;
  row.each([&](int column, int count, const float(&x)[N]) {
    const float before = mine.value;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (i < count && x[i] > mine.value) mine = {x[i], column + i};
    }
    if (mine.value > before) sum *= expf(before - mine.value);
    const float reference = reference_of(mine.value);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (i < count) sum += expf(x[i] - reference);
    }
  });
  const Largest largest = Team::reduce(mine, [](const Largest& a, const Largest& b) {
    return b.value > a.value || (b.value == a.value && b.column < a.column) ? b : a;
  });
  sum *= expf(mine.value - reference_of(largest.value));
  return {.largest = largest, .exponentials = static_cast<double>(Team::sum(sum))};
}

struct CrossEntropy {
  float* logits;
  const int32_t* labels;
  int64_t rows;
  int64_t vocabulary;
  double scale;
  bool gradient;
  bool whole;
  int64_t* loss;
  int64_t* correct;
};

/// With u = exp(x − largest): the gradient is scale · (u / Σu − [column = label]).
template <typename Team, int N>
__device__ void store_gradient(const CrossEntropy& args, const RowReader<Team, N, float>& row,
                               const RowSums& sums, float* x, int label, float at_label) {
  const float maximum = sums.largest.value;
  const auto factor = static_cast<float>(args.scale / sums.exponentials);
  const double probability = static_cast<double>(expf(at_label - maximum)) / sums.exponentials;
  const auto of_label = static_cast<float>(args.scale * (probability - 1));
  row.each([&](int column, int count, const float(&values)[N]) {
    float gradient[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      gradient[i] = column + i == label ? of_label : expf(values[i] - maximum) * factor;
    }
    store_chunk(x + column, count, args.whole, gradient);
  });
}

template <typename Team>
__global__ void __launch_bounds__(Team::kThreads, Team::kResidentBlocks)
    cross_entropy_kernel(CrossEntropy args, SumLimit limit) {
  constexpr int N = kChunk<float>;
  const int64_t index = Team::row();
  if (index >= args.rows) return;
  float* const x = args.logits + index * args.vocabulary;
  const int label = args.labels[index];
  if (label == kIgnoredLabel) {
    if (!args.gradient) return;
    for (int64_t i = Team::thread(); i < args.vocabulary; i += Team::kSize) x[i] = 0;
    return;
  }
  trap_unless(0 <= label && label < args.vocabulary);
  const float at_label = x[label];
  const RowReader<Team, N, float> row(x, args.vocabulary, args.whole);
  const RowSums sums = sums_of(row);
  if (args.gradient) {
    __syncwarp();  // x[label] has been read; a block was synchronised by the sums
    store_gradient(args, row, sums, x, label, at_label);
  }
  if (Team::thread() != 0) return;
  const double loss = log(sums.exponentials) +
                      (static_cast<double>(sums.largest.value) - static_cast<double>(at_label));
  bool fault = false;
  const long long term = to_sum_term(args.scale * loss, limit.limit, &fault);
  add_atomically(args.loss, term);
  count_faults(fault ? 1 : 0, limit.faults, kSumOverflowed);
  if (sums.largest.column == label && isfinite(loss)) add_atomically(args.correct, 1);
}

}  // namespace

void cross_entropy(Runtime& runtime, const CrossEntropyArgs& args) {
  CHECK_EQ(args.logits.shape().rank(), 2);
  const int64_t rows = args.logits.shape()[0];
  const int64_t vocabulary = args.logits.shape()[1];
  CHECK(1 <= vocabulary && vocabulary <= std::numeric_limits<int32_t>::max() / 2);
  check_view(args.logits, DType::kFloat32, args.logits.shape());
  check_view(args.labels, DType::kInt32, {rows});
  check_view(args.correct, DType::kInt64, {1});
  check_view(args.loss, DType::kInt64, {1});
  check_gradient(args.loss, {1}, args.sum);
  const CrossEntropy entropy{.logits = args.logits.data<float>(),
                             .labels = args.labels.data<int32_t>(),
                             .rows = rows,
                             .vocabulary = vocabulary,
                             .scale = args.scale,
                             .gradient = args.gradient,
                             .whole = whole_chunks(vocabulary, kChunk<float>, {args.logits.raw()}),
                             .loss = args.loss.data<int64_t>(),
                             .correct = args.correct.data<int64_t>()};
  launch_teams(
      runtime, rows, vocabulary, [](auto team) { return cross_entropy_kernel<decltype(team)>; },
      entropy, SumLimit(args.sum));
}

}  // namespace reformer::cuda
