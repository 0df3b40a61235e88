#include "trainer/evaluation/round_sweep.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "trainer/evaluation/lsh_health.h"
#include "trainer/metrics.h"

namespace reformer {
namespace {

double mean(const std::vector<EvaluationResult>& results, double EvaluationResult::*value) {
  double sum = 0;
  for (const EvaluationResult& result : results) sum += result.*value;
  return sum / static_cast<double>(results.size());
}

}  // namespace

ModelSpec with_rounds(const ModelSpec& spec, int64_t rounds) {
  ModelSpec other = spec;
  for (LayerSpec& layer : other.layers) {
    if (!is_hashed(layer.attention.kind)) continue;
    if (rounds == kAllKeys) {
      layer.attention.kind = AttentionKind::kFull;
      layer.attention.rounds = 1;
      layer.buckets.clear();
    } else {
      layer.attention.rounds = rounds;
    }
  }
  return other;
}

double SweepPoint::mean_loss() const {
  return mean(results, &EvaluationResult::loss);
}

double SweepPoint::loss_deviation() const {
  if (results.size() < 2) return 0;
  const double center = mean_loss();
  double squares = 0;
  for (const EvaluationResult& result : results) {
    squares += (result.loss - center) * (result.loss - center);
  }
  return std::sqrt(squares / static_cast<double>(results.size() - 1));
}

double SweepPoint::mean_accuracy() const {
  return mean(results, &EvaluationResult::accuracy);
}

std::vector<SweepPoint> sweep_rounds(const config::Run& run, const Dataset& dataset,
                                     const RankGroups& ranks, ModelState& state,
                                     const std::vector<int64_t>& rounds, int64_t seeds) {
  std::vector<SweepPoint> points;
  for (const int64_t count : rounds) {
    const ModelSpec spec = with_rounds(state.spec, count);
    SweepPoint point{.rounds = count, .results = {}};
    for (int64_t i = 0; i < (has_hashed_layer(spec) ? seeds : 1); ++i) {
      const uint64_t seed = run.evaluation().seed() + static_cast<uint64_t>(i);
      point.results.push_back(
          evaluate(run, dataset, ranks, state, {.spec = &spec, .seed = seed, .health = nullptr}));
    }
    points.push_back(point);
  }
  return points;
}

std::string describe(const std::vector<SweepPoint>& points, const char* token_name) {
  std::string text = fmt::format("rounds  {:>18}  spread over seeds  accuracy",
                                 fmt::format("held-out bits/{}", token_name));
  for (const SweepPoint& point : points) {
    text += fmt::format("\n{:>6}  {:18.4f}  {:>17}  {:7.2f}%",
                        point.rounds == kAllKeys ? "full" : std::to_string(point.rounds),
                        bits_from_nats(point.mean_loss()),
                        point.results.size() < 2
                            ? "one"
                            : fmt::format("{:.4f} of {}", bits_from_nats(point.loss_deviation()),
                                          point.results.size()),
                        point.mean_accuracy() * 100);
  }
  return text;
}

}  // namespace reformer
