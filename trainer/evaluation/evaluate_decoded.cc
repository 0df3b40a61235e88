#include "trainer/evaluation/evaluate_decoded.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "trainer/model/decoder.h"
#include "trainer/model/rotations.h"

namespace reformer {
namespace {

/// Adds what the logits [vocabulary] say of a label.
void judge(const float* logits, int64_t vocabulary, int32_t label, double& loss, int64_t& correct) {
  const float* const largest = std::max_element(logits, logits + vocabulary);
  double total = 0;
  for (int64_t i = 0; i < vocabulary; ++i) {
    total += std::exp(static_cast<double>(logits[i]) - static_cast<double>(*largest));
  }
  loss += std::log(total) + static_cast<double>(*largest) - static_cast<double>(logits[label]);
  correct += largest - logits == label;
}

}  // namespace

EvaluationResult evaluate_decoded(const config::Run& run, const Dataset& dataset,
                                  const ModelState& state) {
  const std::vector<Tensor> rotations = make_rotations(state.spec, run.evaluation().seed(), 0);
  const int64_t length = run.data().length();
  double loss = 0;
  int64_t correct = 0;
  EvaluationResult result;
  for (int64_t sequence = 0; sequence < dataset.validation_sequences(); ++sequence) {
    const TokenBatch batch = dataset.validation_batch(sequence, 1);
    const Arena::Mark mark(state.arena);
    Decoder decoder({.backend = state.backend,
                     .arena = state.arena,
                     .spec = state.spec,
                     .parameters = state.parameters,
                     .rotations = rotations,
                     .sequences = 1,
                     .capacity = length});
    for (int64_t i = 0; i < length; ++i) {
      const std::vector<int32_t> token{batch.tokens.data<int32_t>()[i]};
      const Tensor logits =
          i == 0 ? decoder.prefill(0, token) : decoder.step(std::vector<int32_t>{0}, token);
      const int32_t label = batch.labels.data<int32_t>()[i];
      if (label == kIgnoredLabel) continue;
      judge(logits.data<float>(), state.spec.vocabulary, label, loss, correct);
      ++result.tokens;
    }
    result.faults += decoder.faults();
  }
  if (result.tokens == 0) return result;
  result.loss = loss / static_cast<double>(result.tokens);
  result.accuracy = static_cast<double>(correct) / static_cast<double>(result.tokens);
  return result;
}

}  // namespace reformer
