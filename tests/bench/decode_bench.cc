// What one more token costs while text is generated, after texts of several lengths, beside the
// forward pass over 4,096 tokens that would have to be run for each token without a cache. The
// model of configs/bench.txtpb, STRICT, with buckets for 65,536 tokens.
#include <memory>
#include <numeric>

#include <benchmark/benchmark.h>

#include "kernels/cpu/cpu_backend.h"
#include "trainer/config/config.h"
#include "trainer/model/decoder.h"
#include "trainer/model/rotations.h"

namespace reformer {
namespace {

constexpr int64_t kLongest = 65536;

struct BenchModel {
  BenchModel()
      : config(load_config("configs/bench.txtpb", {"model.max_length=65536"})),
        backend(make_cpu_backend()),
        arena(backend->make_arena(size_t{8} << 30)),
        parameters(DType::kFloat32, {flat_elements(config.model)}),
        rotations(make_rotations(config.model, 1, 0)) {
    uint32_t index = 0;
    for (const ParameterInfo& parameter : list_parameters(config.model)) {
      const Tensor values = initial_values(parameter, index++, 1);
      backend->upload(values.view().raw(), parameter.in(parameters.view()));
    }
  }

  Decoder decoder(int64_t sequences, int64_t capacity) {
    return Decoder({.backend = *backend,
                    .arena = *arena,
                    .spec = config.model,
                    .parameters = parameters.view(),
                    .rotations = rotations,
                    .sequences = sequences,
                    .capacity = capacity});
  }

  RunConfig config;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Arena> arena;
  Tensor parameters;
  std::vector<Tensor> rotations;
};

std::vector<int32_t> text(int64_t length) {
  std::vector<int32_t> tokens(static_cast<size_t>(length));
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 7919 % 251);
  return tokens;
}

void forward(benchmark::State& state) {
  BenchModel model;
  const std::vector<int32_t> tokens = text(state.range(0));
  for (auto _ : state) {
    const Arena::Mark mark(*model.arena);
    benchmark::DoNotOptimize(model.decoder(1, state.range(0)).prefill(0, tokens));
  }
}
BENCHMARK(forward)->Arg(4096)->Unit(benchmark::kMillisecond)->UseRealTime();

/// One step of `range(1)` texts, after `range(0)` tokens each.
void decode(benchmark::State& state) {
  BenchModel model;
  const int64_t length = state.range(0);
  const int64_t sequences = state.range(1);
  constexpr int64_t kSteps = 256;
  Decoder decoder = model.decoder(sequences, std::min(length + kSteps, kLongest));
  const std::vector<int32_t> tokens = text(length - kSteps);
  std::vector<int32_t> all(static_cast<size_t>(sequences));
  std::iota(all.begin(), all.end(), 0);
  for (const int32_t sequence : all) decoder.prefill(sequence, tokens);
  const std::vector<int32_t> next(all.size(), 97);
  for (auto _ : state) benchmark::DoNotOptimize(decoder.step(all, next));
  state.counters["token/s"] = benchmark::Counter(
      static_cast<double>(state.iterations() * sequences), benchmark::Counter::kIsRate);
}
BENCHMARK(decode)
    ->Args({1024, 1})
    ->Args({4096, 1})
    ->Args({16384, 1})
    ->Args({65536, 1})
    ->Args({4096, 8})
    ->Iterations(256)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace reformer
