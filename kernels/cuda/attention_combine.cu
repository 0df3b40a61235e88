#include "kernels/cuda/attention_combine.h"
#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_rounds.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/primitives.cuh"
#include "kernels/op_checks.h"

namespace reformer::cuda {
namespace {

constexpr int kThreads = 128;
/// Columns that a warp has in registers at a time: kColumns for each lane.
constexpr int kColumns = 4;

/// The tokens of a group of pairs, a warp for each of them.
struct TokenResults {
  int64_t heads;
  int width;
  int rounds;
  int64_t length;
  int64_t first_pair;
  int64_t count;    // tokens of the group
  int64_t results;  // of each pair, in its own count; or 0
  const int32_t* row;

  __device__ int64_t index() const {
    return static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  }
  __device__ int64_t result(int64_t index, int round) const {
    const int64_t in_group = index / length;
    return in_group * results + row[(in_group * rounds + round) * length + index % length];
  }
  __device__ int64_t pair(int64_t index) const { return first_pair + index / length; }
  /// Of the token, in [rows].
  __device__ int64_t token(int64_t index) const {
    return pair(index) / heads * length + index % length;
  }
  /// Of its head, in an activation.
  __device__ int64_t activation(int64_t index) const {
    return (token(index) * heads + pair(index) % heads) * width;
  }
  /// In [B, H, T].
  __device__ int64_t number(int64_t index) const { return pair(index) * length + index % length; }
};

TokenResults make_results(const TokenLayout& layout, const AttentionPattern& pattern,
                          const View& row, PairGroup pairs, int64_t results) {
  return {.heads = pattern.heads,
          .width = static_cast<int>(pattern.head_dim),
          .rounds = static_cast<int>(pattern.rounds),
          .length = layout.length,
          .first_pair = pairs.first,
          .count = pairs.count * layout.length,
          .results = results,
          .row = row.data<int32_t>()};
}

template <typename... Parameters, typename Task>
void launch_tokens(Runtime& runtime, void (*kernel)(Parameters...), const Task& task) {
  launch(runtime, kernel,
         dim3(static_cast<unsigned>(divide_up(task.tokens.count, kThreads / kWarp))),
         dim3(kThreads), 0, task);
}

// ---- forward ---------------------------------------------------------------------------------

template <typename E>
struct RoundsTask {
  TokenResults tokens;
  const float* sums;
  const float* weights;
  const E* value;
  const uint8_t* mask;
  float dropout_scale;
  E* out;
  float* lse;
};

template <typename E, typename Base>
__global__ void __launch_bounds__(kThreads) combine_rounds_kernel(RoundsTask<E> task) {
  const TokenResults& tokens = task.tokens;
  const int64_t index = tokens.index();
  if (index >= tokens.count) return;
  const bool masked = task.mask != nullptr && task.mask[tokens.token(index)] == 0;
  const int64_t at = tokens.activation(index);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  RoundSums total;
  for (int first = lane; first - lane < tokens.width; first += kColumns * kWarp) {
    float sums[kColumns] = {};
    for (int round = 0; round < tokens.rounds; ++round) {
      const int64_t result = tokens.result(index, round);
      const RoundSums now = load_round(task.weights + result * kRoundWeights);
      const RoundFactors factors = round == 0 ? RoundFactors{} : add_round<Base>(now, total);
      if (round == 0) total = now;
#pragma unroll
      for (int i = 0; i < kColumns; ++i) {
        const int column = first + i * kWarp;
        if (column >= tokens.width) continue;
        const float sum = task.sums[result * tokens.width + column];
        sums[i] = round == 0 ? sum : factors.add(sums[i], sum);
      }
    }
    const bool alone = total.weights == 0;
    const float factor = alone ? 0.0f : task.dropout_scale / total.divisor;
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const int column = first + i * kWarp;
      if (column >= tokens.width) continue;
      if (alone && !masked) {
        task.out[at + column] = task.value[at + column];
      } else {
        store(task.out + at + column, masked ? 0.0f : divided(sums[i], factor));
      }
    }
  }
  if (lane != 0) return;
  task.lse[tokens.number(index)] = masked               ? 0.0f
                                   : total.weights == 0 ? kSelfScore
                                                        : Base::log_of(total);
}

template <typename E, typename Base>
void launch_sums(Runtime& runtime, const CombineRoundsArgs& args, const TokenResults& tokens) {
  launch_tokens(runtime, combine_rounds_kernel<E, Base>,
                RoundsTask<E>{.tokens = tokens,
                              .sums = args.sums.data<float>(),
                              .weights = args.weights.data<float>(),
                              .value = args.value.data<E>(),
                              .mask = args.mask.data<uint8_t>(),
                              .dropout_scale = args.dropout.scale(),
                              .out = args.out.data<E>(),
                              .lse = args.lse.data<float>()});
}

// ---- backward --------------------------------------------------------------------------------

template <typename E>
struct GradientsTask {
  TokenResults tokens;
  const float* query_parts;
  const float* key_parts;  // kLocal only
  const float* value_parts;
  const E* dout;
  const float* lse;
  E* dquery;
  E* dkey;
  E* dvalue;
};

template <typename E>
__global__ void __launch_bounds__(kThreads) combine_gradients_kernel(GradientsTask<E> task) {
  const TokenResults& tokens = task.tokens;
  const int64_t index = tokens.index();
  if (index >= tokens.count) return;
  const int64_t at = tokens.activation(index);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  // A token that saw nobody else passes the gradient of its output to its value.
  const bool alone = task.dkey == nullptr && task.lse[tokens.number(index)] == kSelfScore;
  const auto add = [&](const float* parts, bool adds_dout, E* gradient) {
    for (int column = lane; column < tokens.width; column += kWarp) {
      float sum = parts[tokens.result(index, 0) * tokens.width + column];
      if (adds_dout) sum += load(task.dout + at + column);
      for (int round = 1; round < tokens.rounds; ++round) {
        sum += parts[tokens.result(index, round) * tokens.width + column];
      }
      store(gradient + at + column, sum);
    }
  };
  add(task.query_parts, false, task.dquery);
  if (task.dkey != nullptr) add(task.key_parts, false, task.dkey);
  add(task.value_parts, alone, task.dvalue);
}

}  // namespace

void combine_rounds_of(Runtime& runtime, const CombineRoundsArgs& args, PairGroup pairs,
                       int64_t results) {
  const TokenResults tokens = make_results(args.layout, args.pattern, args.row, pairs, results);
  if (attention_mma_supports(args.pattern, args.value.dtype())) {
    launch_sums<__nv_bfloat16, BinaryBase>(runtime, args, tokens);
    return;
  }
  with_element_type(args.value.dtype(), [&](auto element) {
    launch_sums<decltype(element), NaturalBase>(runtime, args, tokens);
  });
}

void combine_gradients_of(Runtime& runtime, const CombineGradientsArgs& args, PairGroup pairs,
                          int64_t results) {
  with_element_type(args.dout.dtype(), [&](auto element) {
    using E = decltype(element);
    launch_tokens(runtime, combine_gradients_kernel<E>,
                  GradientsTask<E>{
                      .tokens = make_results(args.layout, args.pattern, args.row, pairs, results),
                      .query_parts = args.query_parts.data<float>(),
                      .key_parts = args.key_parts.data<float>(),
                      .value_parts = args.value_parts.data<float>(),
                      .dout = args.dout.data<E>(),
                      .lse = args.lse.data<float>(),
                      .dquery = args.dquery.data<E>(),
                      .dkey = args.dkey.data<E>(),
                      .dvalue = args.dvalue.data<E>()});
  });
}

void combine_rounds(Runtime& runtime, const CombineRoundsArgs& args) {
  check_combine_rounds(args);
  combine_rounds_of(runtime, args, {.first = 0, .count = args.layout.samples * args.pattern.heads},
                    0);
}

void combine_gradients(Runtime& runtime, const CombineGradientsArgs& args) {
  check_combine_gradients(args);
  combine_gradients_of(runtime, args,
                       {.first = 0, .count = args.layout.samples * args.pattern.heads}, 0);
}

}  // namespace reformer::cuda
