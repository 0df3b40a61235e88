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
  /// When it becomes true, the step under way is finished and saved.
  const std::atomic<bool>* stop = nullptr;
};

enum class TrainOutcome {
  kFinished,     // all steps of the run are done
  kReachedStop,  // stop_at was reached
  kInterrupted,  // `stop` became true
};

/// Resumes from the newest sound checkpoint in the run directory, if there is one. Writes there:
/// config.txtpb, train.log, metrics.jsonl, checkpoints/. Throws the types of errors.h.
TrainOutcome train(const RunConfig& config, const TrainOptions& options, Backend& backend,
                   Communicator& communicator);

}  // namespace reformer
