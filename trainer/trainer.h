// A whole training run: start or resume, steps, evaluations, checkpoints, reports.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "kernels/backend.h"
#include "trainer/config/config.h"

namespace reformer {

struct TrainOptions {
  std::string run_directory;
  /// Stop, and save, after this step; the schedule still runs to training.steps. 0: training.steps.
  int64_t stop_at = 0;
  /// When it becomes true on any rank, the step under way is finished and saved.
  const std::atomic<bool>* stop = nullptr;
  /// Ranks that share this machine's memory.
  int local_ranks = 1;
};

enum class TrainOutcome {
  kFinished,     // all steps of the run are done
  kReachedStop,  // stop_at was reached
  kInterrupted,  // `stop` became true
};

/// Resumes from the newest sound checkpoint in the run directory, if there is one. The ranks share
/// the work as config.run.parallel asks (derive_mesh.h). Rank 0 writes into the directory:
/// config.txtpb, train.log, metrics.jsonl, checkpoints/; with several ranks each writes its flight
/// record. Collective. Throws the types of errors.h.
TrainOutcome train(const RunConfig& config, const TrainOptions& options, Backend& backend,
                   Communicator& communicator);

}  // namespace reformer
