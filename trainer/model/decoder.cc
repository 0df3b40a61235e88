#include "trainer/model/decoder.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "trainer/model/embedding_block.h"
#include "trainer/model/feed_forward_block.h"

namespace reformer {

bool can_decode(const ModelSpec& spec) {
  return std::all_of(spec.layers.begin(), spec.layers.end(),
                     [](const LayerSpec& layer) { return layer.attention.causal; });
}

Decoder::Decoder(const Options& options)
    : options_(options),
      model_(options.spec, options.parameters),
      weights_(bind_parameters(options.spec, options.parameters)),
      faults_(options.arena.allocate(
          DType::kInt64, {static_cast<int64_t>(options.spec.layers.size()) + 2, kFaultKinds},
          MemoryUse::kCache)),
      length_(static_cast<size_t>(options.sequences), 0) {
  CHECK(options.sequences >= 1 && options.capacity >= 1);
  CHECK_LE(options.capacity, options.spec.max_length);
  CHECK_EQ(options.rotations.size(), options.spec.layers.size());
  options.backend.fill_zero(faults_);
  for (int layer = 0; layer < static_cast<int>(options.spec.layers.size()); ++layer) {
    caches_.emplace_back(pass_over(1), layer, options.sequences, options.capacity);
  }
}

Tensor Decoder::prefill(int64_t sequence, std::span<const int32_t> tokens) {
  const auto count = static_cast<int64_t>(tokens.size());
  CHECK_EQ(length(sequence), 0);
  CHECK(1 <= count && count <= capacity());
  Arena::Mark mark(options_.arena);
  const Pass pass = pass_over(count);
  const View on_backend = options_.arena.allocate(DType::kInt32, {count}, MemoryUse::kBlock);
  options_.backend.upload(tokens.data(), on_backend);
  const View logits = pass.block_memory({1, options_.spec.vocabulary});
  model_.last_logits(pass, on_backend, logits, [&](const ObservedAttention& observed) {
    caches_[static_cast<size_t>(observed.layer)].fill(sequence, observed.activations,
                                                      observed.slots);
  });
  length_[static_cast<size_t>(sequence)] = count;
  return to_host(logits);
}

Tensor Decoder::step(std::span<const int32_t> sequences, std::span<const int32_t> tokens) {
  CHECK(!sequences.empty());
  CHECK_EQ(sequences.size(), tokens.size());
  std::set<int32_t> distinct;
  for (const int32_t sequence : sequences) {
    CHECK(0 <= sequence && sequence < options_.sequences);
    CHECK(distinct.insert(sequence).second);
    CHECK_LT(length(sequence), capacity());
  }
  Arena::Mark mark(options_.arena);
  // One row for each sequence; where it stands in its sequence matters to the embedding alone.
  const Pass pass = pass_over(static_cast<int64_t>(tokens.size()));
  const Streams x = allocate_streams(pass, options_.spec.stream_dtype);
  embed(pass, sequences, tokens, x);
  for (int layer = 0; layer < static_cast<int>(caches_.size()); ++layer) {
    add_attention(pass, layer, sequences, x);
    FeedForwardBlock(pass, layer, weights_.feed_forward[static_cast<size_t>(layer)])
        .forward(x.x1, x.x2);
  }
  const View logits = pass.block_memory({pass.layout.length, options_.spec.vocabulary});
  LossHead(pass, weights_.head).logits(x, logits);
  for (const int32_t sequence : sequences) ++length_[static_cast<size_t>(sequence)];
  return to_host(logits);
}

int64_t Decoder::faults() const {
  std::vector<int64_t> counts(static_cast<size_t>(faults_.elements()));
  options_.backend.download(faults_, counts.data());
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

Pass Decoder::pass_over(int64_t tokens) const {
  return {.backend = options_.backend,
          .arena = options_.arena,
          .spec = options_.spec,
          .layout = {.length = tokens,
                     .tile = options_.spec.tile_tokens,
                     .leaf = options_.spec.leaf_tokens},
          .mask = {},
          .rotations = options_.rotations,
          .training = false,
          .faults = faults_};
}

void Decoder::embed(const Pass& pass, std::span<const int32_t> sequences,
                    std::span<const int32_t> tokens, const Streams& x) const {
  Arena::Mark mark(options_.arena);
  const View on_backend =
      options_.arena.allocate(DType::kInt32, {pass.layout.length}, MemoryUse::kBlock);
  options_.backend.upload(tokens.data(), on_backend);
  for (int64_t row = 0; row < pass.layout.length; ++row) {
    Pass one = pass;
    one.layout = {.length = 1,
                  .first_position = length(sequences[static_cast<size_t>(row)]),
                  .tile = 1,
                  .leaf = 1};
    EmbeddingBlock(one, weights_.embedding)
        .forward(on_backend.rows(row, row + 1), x.rows(row, row + 1));
  }
}

void Decoder::add_attention(const Pass& pass, int layer, std::span<const int32_t> sequences,
                            const Streams& x) {
  Arena::Mark mark(options_.arena);
  LayerCache& cache = caches_[static_cast<size_t>(layer)];
  const AttentionBlock block(pass, layer, weights_.attention[static_cast<size_t>(layer)]);
  const AttentionActivations activations = block.allocate_activations(MemoryUse::kBlock);
  const View f = pass.activation_memory(x.x1.shape());
  block.project(x.x2, activations);
  cache.append(pass, activations, sequences, hash_hook_);
  cache.attend(activations, sequences);
  block.join_heads(activations, f);
  options_.backend.residual({.layout = pass.layout,
                             .stream = x.x1,
                             .f = f,
                             .subtract = false,
                             .dropout = {},
                             .faults = pass.faults_of(layer)});
}

Tensor Decoder::to_host(const View& logits) const {
  Tensor host(DType::kFloat32, logits.shape());
  options_.backend.download(logits, host.view().raw());
  return host;
}

}  // namespace reformer
