#include "trainer/evaluation.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernels/core/fixed_point.h"
#include "trainer/metrics.h"
#include "trainer/step.h"

namespace reformer {
namespace {

int64_t scalar_of(Backend& backend, const View& view) {
  int64_t value = 0;
  backend.download(view, &value);
  return value;
}

}  // namespace

std::string describe(const EvaluationResult& result) {
  return fmt::format("held-out loss {:.4f}, {:.4f} bits/byte, accuracy {:.2f}% over {} tokens",
                     result.loss, bits_from_nats(result.loss), result.accuracy * 100,
                     result.tokens);
}

EvaluationResult evaluate(const config::Run& run, const Dataset& dataset, TrainingState& state) {
  Backend& backend = state.backend;
  const int64_t sequences = dataset.validation_sequences();
  const int64_t micro_batch = run.evaluation().micro_batch() > 0 ? run.evaluation().micro_batch()
                                                                 : micro_batch_of(run.training());
  EvaluationResult result;
  double loss = 0;
  int64_t correct = 0;
  for (int64_t first = 0; first < sequences; first += micro_batch) {
    const int64_t samples = std::min(micro_batch, sequences - first);
    const TokenBatch batch = dataset.validation_batch(first, samples);
    if (batch.valid_labels == 0) continue;
    backend.fill_zero(state.loss);
    backend.fill_zero(state.correct);
    backend.fill_zero(state.faults);

    Arena::Mark mark(state.arena);
    const View tokens = state.upload_tokens(batch.tokens);
    const View labels = state.upload_tokens(batch.labels);
    const Pass pass{.backend = backend,
                    .arena = state.arena,
                    .spec = state.spec,
                    .layout = state.layout_of(first, samples, run.data().length()),
                    .mask = {},
                    .seed = run.evaluation().seed(),
                    .step = 0,
                    .training = false,
                    .faults = state.faults,
                    .leaves_in_step = samples * run.data().length(),
                    .tokens_in_step = samples * run.data().length()};
    const auto counted = static_cast<double>(batch.valid_labels);
    state.model.evaluate(pass, tokens, labels,
                         {.scale = 1.0 / counted, .loss = state.loss, .correct = state.correct});

    loss += static_cast<double>(scalar_of(backend, state.loss)) * kSumStep * counted;
    correct += scalar_of(backend, state.correct);
    result.tokens += batch.valid_labels;
  }
  if (result.tokens > 0) {
    result.loss = loss / static_cast<double>(result.tokens);
    result.accuracy = static_cast<double>(correct) / static_cast<double>(result.tokens);
  }
  return result;
}

}  // namespace reformer
