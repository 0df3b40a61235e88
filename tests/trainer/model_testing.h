// A small model on the CPU backend, with everything that one pass needs.
#pragma once

#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "tests/kernels/op_testing.h"
#include "trainer/model/parameters.h"
#include "trainer/model/pass.h"
#include "trainer/model/reformer.h"
#include "trainer/model/rotations.h"

namespace reformer::testing {

inline AttentionPattern small_attention(AttentionKind kind) {
  AttentionPattern pattern;
  pattern.kind = kind;
  pattern.heads = 2;
  pattern.head_dim = 8;
  pattern.rounds = is_hashed(kind) ? 2 : 1;
  pattern.chunk_length = 16;
  return pattern;
}

inline LayerSpec small_layer(AttentionKind kind) {
  LayerSpec layer{.attention = small_attention(kind), .buckets = {}};
  if (is_hashed(kind)) layer.buckets = {4, 2};
  return layer;
}

inline ModelSpec small_spec(std::vector<AttentionKind> kinds) {
  ModelSpec spec;
  spec.vocabulary = 40;
  spec.width = 24;
  spec.ff_width = 40;
  spec.max_length = 300;
  spec.activation = Activation::kGelu;
  spec.position_axes = {{.extent = 20, .width = 8}, {.extent = 15, .width = 16}};
  for (AttentionKind kind : kinds) spec.layers.push_back(small_layer(kind));
  spec.leaf_tokens = 128;
  return spec;
}

/// Tokens and next-token labels of `samples` sequences, Int32 [samples · length].
struct TestBatch {
  TestBatch(const ModelSpec& spec, int64_t samples, int64_t length, uint64_t seed) {
    Random random(seed);
    const auto last = static_cast<int32_t>(spec.vocabulary - 1);
    tokens = random.integers({samples * length}, 0, last);
    labels = random.integers({samples * length}, 0, last);
    labels.data<int32_t>()[0] = kIgnoredLabel;
  }
  Tensor tokens;
  Tensor labels;
};

class TestModel {
 public:
  explicit TestModel(const ModelSpec& model_spec, int threads = 1, uint64_t seed = 3)
      : spec(model_spec),
        backend(make_cpu_backend(threads)),
        arena(backend->make_arena(size_t{1} << 30)),
        parameters(DType::kFloat32, {flat_elements(spec)}),
        gradients(spec.exact_sums ? DType::kInt64 : DType::kFloat32, {flat_elements(spec)}),
        faults(DType::kInt64, {static_cast<int64_t>(spec.layers.size()) + 2, kFaultKinds}),
        rotations(make_rotations(spec, /*seed=*/11, /*step=*/5)) {
    uint32_t index = 0;
    for (const ParameterInfo& parameter : list_parameters(spec)) {
      const Tensor values = initial_values(parameter, index++, seed);
      std::memcpy(parameter.in(parameters.view()).raw(), values.view().raw(),
                  values.view().bytes());
    }
  }

  Pass pass(int64_t samples, int64_t length, bool training = true) const {
    return {.backend = *backend,
            .arena = *arena,
            .spec = spec,
            .layout = {.samples = samples,
                       .length = length,
                       .tile = spec.tile_tokens,
                       .leaf = spec.leaf_tokens},
            .mask = {},
            .rotations = rotations,
            .seed = 11,
            .step = 5,
            .training = training,
            .faults = faults.view(),
            .leaves_in_step = 64,
            .tokens_in_step = 4096};
  }

  /// Adds the gradients of samples [first, first + count) of the batch; returns the loss sum so
  /// far.
  double accumulate(const TestBatch& batch, int64_t first, int64_t count, int64_t length) {
    Pass part = pass(count, length);
    part.layout.first_sample = first;
    const int64_t begin = first * length;
    const int64_t end = begin + count * length;
    Reformer(spec, parameters.view())
        .accumulate_gradients(part, batch.tokens.view().rows(begin, end),
                              batch.labels.view().rows(begin, end), sums(length), gradients.view());
    return loss_value();
  }

  double evaluate(const TestBatch& batch, int64_t samples, int64_t length) {
    loss.data<int64_t>()[0] = 0;
    Reformer(spec, parameters.view())
        .evaluate(pass(samples, length, /*training=*/false), batch.tokens.view(),
                  batch.labels.view(), sums(length));
    return loss_value();
  }

  Tensor logits(const View& tokens, int64_t samples, int64_t length) {
    Tensor values(DType::kFloat32, {samples * length, spec.vocabulary});
    Reformer(spec, parameters.view())
        .logits(pass(samples, length, /*training=*/false), tokens, values.view());
    return values;
  }

  double loss_value() const { return static_cast<double>(loss.data<int64_t>()[0]) * kSumStep; }

  int64_t fault_count() const {
    const int64_t* const begin = faults.data<int64_t>();
    return std::accumulate(begin, begin + faults.elements(), int64_t{0});
  }

  ModelSpec spec;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Arena> arena;
  Tensor parameters;
  Tensor gradients;
  Tensor faults;
  std::vector<Tensor> rotations;  // by layer
  Tensor loss{DType::kInt64, {1}};
  Tensor correct{DType::kInt64, {1}};

 private:
  LossSums sums(int64_t length) const {
    return {.scale = 1.0 / static_cast<double>(4 * length),
            .loss = loss.view(),
            .correct = correct.view()};
  }
};

}  // namespace reformer::testing
