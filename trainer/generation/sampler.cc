#include "trainer/generation/sampler.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"
#include "kernels/core/philox.h"

namespace reformer {
namespace {

struct Candidate {
  double value = 0;  // logit, then unnormalised probability
  int32_t token = 0;
};

bool is_likelier(const Candidate& a, const Candidate& b) {
  return a.value > b.value || (a.value == b.value && a.token < b.token);
}

std::vector<Candidate> candidates_of(std::span<const float> logits) {
  std::vector<Candidate> candidates;
  for (const float logit : logits) {
    const auto token = static_cast<int32_t>(candidates.size());
    if (!std::isfinite(logit)) {
      throw DivergenceError(fmt::format(
          "the model gives token {} the logit {}: its weights are no good", token, logit));
    }
    candidates.push_back({.value = static_cast<double>(logit), .token = token});
  }
  return candidates;
}

void penalize_repetition(std::span<const int32_t> history, const SamplingOptions& options,
                         std::vector<Candidate>& candidates) {
  if (options.repetition_penalty == 1) return;
  const size_t recent = std::min(history.size(), static_cast<size_t>(options.repetition_window));
  const std::span<const int32_t> window = history.last(recent);
  for (const int32_t token : std::set<int32_t>(window.begin(), window.end())) {
    double& logit = candidates[static_cast<size_t>(token)].value;
    logit = logit > 0 ? logit / options.repetition_penalty : logit * options.repetition_penalty;
  }
}

/// Logits, sorted, to probabilities times some number.
void apply_softmax(double temperature, std::vector<Candidate>& candidates) {
  const double largest = candidates.front().value;
  for (Candidate& candidate : candidates) {
    candidate.value = std::exp((candidate.value - largest) / temperature);
  }
}

double sum_of(const std::vector<Candidate>& candidates) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.value;
  return sum;
}

/// The first candidate at which the running sum reaches `share` of the whole, in (0, 1].
size_t index_at(double share, const std::vector<Candidate>& candidates) {
  const double wanted = share * sum_of(candidates);
  double sum = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    sum += candidates[i].value;
    if (sum >= wanted) return i;
  }
  return candidates.size() - 1;
}

}  // namespace

int32_t sample_token(std::span<const float> logits, std::span<const int32_t> history,
                     int64_t sequence, const SamplingOptions& options) {
  CHECK(!logits.empty());
  std::vector<Candidate> candidates = candidates_of(logits);
  penalize_repetition(history, options, candidates);
  if (options.temperature == 0) {
    return std::min_element(candidates.begin(), candidates.end(), is_likelier)->token;
  }
  std::sort(candidates.begin(), candidates.end(), is_likelier);
  if (options.top_k > 0 && static_cast<size_t>(options.top_k) < candidates.size()) {
    candidates.resize(static_cast<size_t>(options.top_k));
  }
  apply_softmax(options.temperature, candidates);
  if (options.top_p < 1) candidates.resize(index_at(options.top_p, candidates) + 1);

  const PhiloxKey key = make_key(options.seed, RandomUse::kGeneration, history.size(),
                                 static_cast<uint32_t>(sequence));
  const double uniform = static_cast<double>(uniform_from_bits(philox(key, {0, 0, 0, 0})[0]));
  return candidates[index_at(uniform, candidates)].token;
}

}  // namespace reformer
