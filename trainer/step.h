// One training step, top to bottom.
#pragma once

#include <cstdint>

#include "comm/rank_groups.h"
#include "configs/run.pb.h"
#include "trainer/data/dataset.h"
#include "trainer/skip_guard.h"
#include "trainer/training_state.h"

namespace reformer {

struct StepResult {
  double loss = 0;      // nats per counted token, over all ranks
  double accuracy = 0;  // share of counted tokens whose label had the largest logit
  double learning_rate = 0;
  double gradient_norm = 0;   // before clipping
  int64_t tokens = 0;         // tokens read, over all ranks
  bool skipped = false;       // the state is untouched
  double seconds_waited = 0;  // of this rank, for others that were later and for what they sent
};

/// Runs step `step` (from 1) of `run`: this rank's tokens of all micro-batches of its group,
/// gradients summed over the ranks, clipping, and the update, unless `guard` has all ranks skip it.
/// Collective: `state` was made for this rank of ranks.world. Losses, norm and parameters are the
/// same, to the bit, on any mesh of ranks. Throws DivergenceError when the guard gives up.
StepResult train_step(const config::Run& run, const Dataset& dataset, const RankGroups& ranks,
                      TrainingState& state, SkipGuard& guard, int64_t step);

/// Most sequences held at a time: training.micro_batch, or the whole batch.
int64_t micro_batch_of(const config::Training& training);

}  // namespace reformer
