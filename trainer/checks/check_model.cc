#include "trainer/checks/check_model.h"

#include "kernels/core/fixed_point.h"
#include "trainer/model/parameters.h"
#include "trainer/model/rotations.h"

namespace reformer {
namespace {

// The length is no multiple of a chunk, nor of a tile of tokens.
constexpr const char* kConfig = R"(
data { source: DUPLICATION length: 150 symbols: 39 }
model {
  vocabulary: 40 width: 24 ff_width: 40 heads: 2 layers: 4 activation: GELU
  attention_pattern: [LSH, LOCAL, LSH, FULL] dropout: 0.1 attention_dropout: 0.1
  lsh { chunk_length: 16 rounds: 2 } local { chunk_length: 16 }
}
training { batch: 4 micro_batch: 2 steps: 6 schedule { rate: 0.003 warmup: 2 } }
evaluation { sequences: 2 }
execution { leaf_tokens: 128 }
)";

constexpr size_t kArenaBytes = size_t{64} << 20;  // mapped, of which little is touched
constexpr uint64_t kSeed = 11;
constexpr int64_t kStep = 5;

}  // namespace

RunConfig check_config(const std::vector<std::string>& overrides) {
  RunConfig config = parse_config(kConfig, "the model of the checks", overrides);
  config.model.layers[2].attention.kind = AttentionKind::kChunked;
  return config;
}

CheckModel::CheckModel(const RunConfig& config, Backend& backend)
    : run_(config.run),
      arena_(backend.make_arena(kArenaBytes)),
      state_(config.model, backend, *arena_),
      rotations_(make_rotations(config.model, kSeed, kStep)),
      batch_(make_dataset(run_)->training_batch(kStep, 0, run_.training().micro_batch())) {
  state_.initialize_parameters(kSeed);
  backend.fill_zero(state_.tallies);
}

Tensor CheckModel::gradients() const {
  const Arena::Mark mark(*arena_);
  Backend& backend = state_.backend;
  const View gradients = arena_->allocate(state_.spec.exact_sums ? DType::kInt64 : DType::kFloat32,
                                          state_.parameters.shape(), MemoryUse::kGradients);
  backend.fill_zero(gradients);
  const TokenLayout layout =
      state_.layout_of(0, batch_.tokens.shape()[0], {0, run_.data().length()});
  state_.model.accumulate_gradients(pass_over(layout, /*training=*/true),
                                    state_.upload_tokens(batch_.tokens),
                                    state_.upload_tokens(batch_.labels), loss_sums(), gradients);
  Tensor host(gradients.dtype(), gradients.shape());
  backend.download(gradients, host.view().raw());
  return host;
}

double CheckModel::loss() const {
  const Arena::Mark mark(*arena_);
  state_.backend.fill_zero(state_.loss);
  const TokenLayout layout =
      state_.layout_of(0, batch_.tokens.shape()[0], {0, run_.data().length()});
  state_.model.evaluate(pass_over(layout, /*training=*/true), state_.upload_tokens(batch_.tokens),
                        state_.upload_tokens(batch_.labels), loss_sums());
  int64_t sum = 0;
  state_.backend.download(state_.loss, &sum);
  return static_cast<double>(sum) * kSumStep;
}

Tensor CheckModel::logits(std::span<const int32_t> text, const AttentionObserver& observer) const {
  const Arena::Mark mark(*arena_);
  const auto length = static_cast<int64_t>(text.size());
  const View tokens = arena_->allocate(DType::kInt32, {length}, MemoryUse::kBlock);
  state_.backend.upload(text.data(), tokens);
  const View logits =
      arena_->allocate(DType::kFloat32, {length, state_.spec.vocabulary}, MemoryUse::kBlock);
  state_.model.logits(pass_over(state_.layout_of(0, 1, {0, length}), /*training=*/false), tokens,
                      logits, observer);
  Tensor host(DType::kFloat32, logits.shape());
  state_.backend.download(logits, host.view().raw());
  return host;
}

Pass CheckModel::pass_over(const TokenLayout& layout, bool training) const {
  return {.backend = state_.backend,
          .arena = *arena_,
          .spec = state_.spec,
          .layout = layout,
          .mask = {},
          .rotations = rotations_,
          .seed = kSeed,
          .step = kStep,
          .training = training,
          .faults = state_.faults,
          .leaves_in_step = layout.samples * (layout.length / layout.leaf + 1),
          .tokens_in_step = layout.rows()};
}

LossSums CheckModel::loss_sums() const {
  return {.scale = 1.0 / static_cast<double>(batch_.valid_labels),
          .loss = state_.loss,
          .correct = state_.correct};
}

}  // namespace reformer
