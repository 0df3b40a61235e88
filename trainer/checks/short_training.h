// A few steps of training, without files.
#pragma once

#include <memory>
#include <vector>

#include "comm/rank_groups.h"
#include "kernels/backend.h"
#include "trainer/config/config.h"
#include "trainer/step.h"

namespace reformer {

/// A run from its start, step by step. All arguments but `config` must outlive it.
class ShortRun {
 public:
  ShortRun(const RunConfig& config, const RankGroups& ranks, Backend& backend, Arena& arena);

  /// Returns the loss, nats per token. Collective.
  double step(int64_t step);

  const TrainingState& state() const { return state_; }

 private:
  const config::Run run_;
  const RankGroups& ranks_;
  std::unique_ptr<Dataset> dataset_;
  TrainingState state_;
  SkipGuard guard_;
};

struct ShortTraining {
  std::vector<double> losses;  // of every step, nats per token
  Tensor parameters;           // afterwards, flat
  size_t arena_bytes = 0;      // most that was in use
};

/// All steps of the run, from the start. Takes the memory that plan_training says, of which more
/// would throw. Collective.
ShortTraining train_shortly(const RunConfig& config, const RankGroups& ranks, Backend& backend);

}  // namespace reformer
