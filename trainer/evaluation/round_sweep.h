// A trained model evaluated with other numbers of hash rounds than it was trained with (paper,
// table 2 and figure 3).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/evaluation/evaluate.h"

namespace reformer {

/// In place of a number of rounds: every key is seen, as in FULL layers.
inline constexpr int64_t kAllKeys = 0;

/// The same model with this many rounds in every LSH layer.
ModelSpec with_rounds(const ModelSpec& spec, int64_t rounds);

/// One number of rounds, evaluated with rotations from several seeds.
struct SweepPoint {
  int64_t rounds = 1;                     // or kAllKeys
  std::vector<EvaluationResult> results;  // by seed

  double mean_loss() const;  // nats per token
  /// Standard deviation of the losses of the seeds; 0 for a single one.
  double loss_deviation() const;
  double mean_accuracy() const;
};

/// Seeds count up from evaluation.seed. What hashes nothing is evaluated once. Collective.
std::vector<SweepPoint> sweep_rounds(const config::Run& run, const Dataset& dataset,
                                     const RankGroups& ranks, ModelState& state,
                                     const std::vector<int64_t>& rounds, int64_t seeds);

/// A line for each point, under a line of titles. token_name: "byte" or what else a token is.
std::string describe(const std::vector<SweepPoint>& points, const char* token_name);

}  // namespace reformer
