// Times of single ops at the shape of configs/bench.txtpb: 4,096 tokens, width 256, 4 heads of 64,
// feed-forward 1,024, 2 rounds of 64-slot windows. Matrix products report FLOP/s: compare the other
// numbers with theirs from the same run, since shared machines vary.
#include <random>

#include <benchmark/benchmark.h>

#include "kernels/cpu/cpu_backend.h"

namespace reformer {
namespace {

constexpr int64_t kTokens = 4096;
constexpr int64_t kWidth = 256;
constexpr int64_t kWide = 1024;
constexpr int64_t kHeads = 4;
constexpr int64_t kHeadDim = kWidth / kHeads;
constexpr int64_t kRounds = 2;
constexpr int64_t kChunk = 64;
constexpr int64_t kBuckets = kTokens / kChunk;

Tensor normal(const Shape& shape) {
  Tensor tensor(DType::kFloat32, shape);
  std::mt19937 engine(1);
  std::normal_distribution<float> distribution;
  for (int64_t i = 0; i < tensor.elements(); ++i) tensor.data<float>()[i] = distribution(engine);
  return tensor;
}

const TokenLayout kLayout{.samples = 1, .length = kTokens};

void count_flops(benchmark::State& state, double flops) {
  state.counters["FLOP/s"] = benchmark::Counter(flops * static_cast<double>(state.iterations()),
                                                benchmark::Counter::kIsRate);
}

void linear(benchmark::State& state) {
  const auto backend = make_cpu_backend();
  const int64_t in = state.range(0);
  const int64_t out = state.range(1);
  const Tensor x = normal({kTokens, in}), weight = normal({in, out}), y = normal({kTokens, out});
  for (auto _ : state) {
    backend->linear(
        {.layout = kLayout, .x = x.view(), .weight = weight.view(), .bias = {}, .y = y.view()});
  }
  count_flops(state, 2.0 * kTokens * static_cast<double>(in * out));
}
BENCHMARK(linear)
    ->Args({kWidth, kWidth})
    ->Args({kWidth, kWide})
    ->Args({kWide, kWidth})
    ->UseRealTime();

void linear_backward_weight(benchmark::State& state) {
  const auto backend = make_cpu_backend();
  const int64_t in = state.range(0);
  const int64_t out = state.range(1);
  const Tensor x = normal({kTokens, in}), dy = normal({kTokens, out});
  const Tensor dweight(DType::kInt64, {in, out});
  const Tensor faults(DType::kInt64, {kFaultKinds});
  for (auto _ : state) {
    backend->linear_backward_weight({.layout = kLayout,
                                     .x = x.view(),
                                     .dy = dy.view(),
                                     .dweight = dweight.view(),
                                     .dbias = {},
                                     .sum = {.limit = 0x1p60, .faults = faults.view()}});
  }
  count_flops(state, 2.0 * kTokens * static_cast<double>(in * out));
}
BENCHMARK(linear_backward_weight)
    ->Args({kWidth, kWidth})
    ->Args({kWidth, kWide})
    ->Args({kWide, kWidth})
    ->UseRealTime();

void layer_norm(benchmark::State& state) {
  const auto backend = make_cpu_backend();
  const Tensor x = normal({kTokens, kWidth}), y = normal({kTokens, kWidth});
  const Tensor gamma = normal({kWidth}), beta = normal({kWidth});
  for (auto _ : state) {
    backend->layer_norm({.x = x.view(), .gamma = gamma.view(), .beta = beta.view(), .y = y.view()});
  }
}
BENCHMARK(layer_norm)->UseRealTime();

/// Hashed and sorted queries, and everything that attention needs.
struct AttentionData {
  AttentionData() {
    const Tensor rotations = normal({kHeads, kHeadDim, kRounds * kBuckets / 2});
    const Tensor bucket_of(DType::kInt32, {1, kHeads, kRounds, kTokens});
    const int64_t buckets[] = {kBuckets};
    backend->lsh_hash({.layout = kLayout,
                       .heads = kHeads,
                       .rounds = kRounds,
                       .buckets = buckets,
                       .query_key = query.view(),
                       .rotations = rotations.view(),
                       .mask = {},
                       .bucket_of = bucket_of.view()});
    backend->bucket_sort({.num_buckets = kBuckets,
                          .bucket_of = bucket_of.view(),
                          .order = order.view(),
                          .bucket_begin = bucket_begin.view()});
  }

  AttentionArgs args(AttentionKind kind) const {
    return {.layout = kLayout,
            .pattern = {.kind = kind,
                        .heads = kHeads,
                        .head_dim = kHeadDim,
                        .rounds = kRounds,
                        .chunk_length = kChunk},
            .dropout = {},
            .query = query.view(),
            .key = {},
            .value = value.view(),
            .order = order.view(),
            .bucket_begin = bucket_begin.view(),
            .mask = {},
            .out = out.view(),
            .lse = lse.view()};
  }

  std::unique_ptr<Backend> backend = make_cpu_backend();
  Tensor query = normal({kTokens, kWidth});
  Tensor value = normal({kTokens, kWidth});
  Tensor out = normal({kTokens, kWidth});
  Tensor lse = normal({1, kHeads, kTokens});
  Tensor order{DType::kInt32, {1, kHeads, kRounds, kTokens}};
  Tensor bucket_begin{DType::kInt32, {1, kHeads, kRounds, kBuckets + 2}};
};

void attention(benchmark::State& state) {
  const AttentionData data;
  const AttentionArgs args = data.args(static_cast<AttentionKind>(state.range(0)));
  for (auto _ : state) data.backend->attention(args);
}
BENCHMARK(attention)
    ->ArgName("kind")
    ->Arg(static_cast<int>(AttentionKind::kStrict))
    ->Arg(static_cast<int>(AttentionKind::kChunked))
    ->UseRealTime();

void attention_backward(benchmark::State& state) {
  const AttentionData data;
  const AttentionArgs args = data.args(static_cast<AttentionKind>(state.range(0)));
  data.backend->attention(args);
  const Tensor dout = normal({kTokens, kWidth});
  const Tensor dquery = normal({kTokens, kWidth}), dvalue = normal({kTokens, kWidth});
  for (auto _ : state) {
    data.backend->attention_backward({.forward = args,
                                      .dout = dout.view(),
                                      .dquery = dquery.view(),
                                      .dkey = {},
                                      .dvalue = dvalue.view()});
  }
}
BENCHMARK(attention_backward)
    ->ArgName("kind")
    ->Arg(static_cast<int>(AttentionKind::kStrict))
    ->Arg(static_cast<int>(AttentionKind::kChunked))
    ->UseRealTime();

}  // namespace
}  // namespace reformer
