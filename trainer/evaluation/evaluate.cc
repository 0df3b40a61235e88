#include "trainer/evaluation/evaluate.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "kernels/core/fixed_point.h"
#include "trainer/metrics.h"
#include "trainer/model/rotations.h"
#include "trainer/step.h"
#include "trainer/token_share.h"

namespace reformer {

std::string describe(const EvaluationResult& result, const char* token_name) {
  return fmt::format("held-out loss {:.4f}, {:.4f} bits/{}, accuracy {:.2f}% over {} tokens",
                     result.loss, bits_from_nats(result.loss), token_name, result.accuracy * 100,
                     result.tokens) +
         (result.faults == 0
              ? ""
              : fmt::format("; {} values left the range of the residual streams", result.faults));
}

int64_t evaluation_micro_batch_of(const config::Run& run) {
  return run.evaluation().micro_batch() > 0 ? run.evaluation().micro_batch()
                                            : micro_batch_of(run.training());
}

EvaluationResult evaluate(const config::Run& run, const Dataset& dataset, const RankGroups& ranks,
                          ModelState& state, const EvaluationOptions& options) {
  Backend& backend = state.backend;
  const ModelSpec& spec = options.spec != nullptr ? *options.spec : state.spec;
  const Reformer model(spec, state.parameters);
  const int64_t sequences = dataset.validation_sequences();
  const int64_t most_tokens = sequences * run.data().length();
  const int64_t micro_batch = evaluation_micro_batch_of(run);
  const Slice sequences_here = ranks.share_of_sequences(sequences);
  const TokenShare tokens_here(ranks, run.data().length(), spec.leaf_tokens);

  const std::vector<Tensor> rotations =
      make_rotations(spec, options.seed.value_or(run.evaluation().seed()), 0);
  backend.fill_zero(state.tallies);
  int64_t valid_labels = 0;
  for (int64_t first = sequences_here.begin; first < sequences_here.end; first += micro_batch) {
    const int64_t samples = std::min(micro_batch, sequences_here.end - first);
    const TokenBatch batch = dataset.validation_batch(first, samples, tokens_here.positions());
    Arena::Mark mark(state.arena);
    const View tokens = state.upload_tokens(batch.tokens);
    const View labels = state.upload_tokens(batch.labels);
    const Pass pass{.backend = backend,
                    .arena = state.arena,
                    .spec = spec,
                    .layout = state.layout_of(first, samples, tokens_here.positions()),
                    .sequence = tokens_here.sharers(),
                    .mask = {},
                    .rotations = rotations,
                    .training = false,
                    .faults = state.faults,
                    .leaves_in_step = most_tokens,
                    .tokens_in_step = most_tokens};
    AttentionObserver observer;
    if (options.health != nullptr) {
      observer = [&](const ObservedAttention& observed) {
        options.health->observe(backend, observed);
      };
    }
    // The labels that count are not all known yet; the sum is put right below.
    model.evaluate(pass, tokens, labels,
                   {.scale = 1.0 / static_cast<double>(most_tokens),
                    .loss = state.loss,
                    .correct = state.correct},
                   observer);
    valid_labels += batch.valid_labels;
  }

  std::vector<int64_t> of_layers(static_cast<size_t>(state.faults.elements()));
  backend.download(state.faults, of_layers.data());
  int64_t sums[] = {0, 0, valid_labels,
                    std::accumulate(of_layers.begin(), of_layers.end(), int64_t{0})};
  backend.download(state.loss, &sums[0]);
  backend.download(state.correct, &sums[1]);
  ranks.world.all_reduce_sum(View(sums, DType::kInt64, {4}), "totals of the evaluation");
  const auto [loss, correct, tokens, faults] = sums;
  if (tokens == 0) return {};
  return {.loss = static_cast<double>(loss) * kSumStep * static_cast<double>(most_tokens) /
                  static_cast<double>(tokens),
          .accuracy = static_cast<double>(correct) / static_cast<double>(tokens),
          .tokens = tokens,
          .faults = faults};
}

}  // namespace reformer
