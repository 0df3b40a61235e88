// What the machine at hand takes for ops and operations, and how well a replay predicts it.
#pragma once

#include <memory>
#include <vector>

#include "comm/rank_groups.h"
#include "kernels/backend.h"
#include "trainer/config/config.h"
#include "trainer/data/dataset.h"
#include "trainer/replay/machine.h"
#include "trainer/replay/step_log.h"
#include "trainer/replay/step_recorder.h"
#include "trainer/step.h"

namespace reformer {

struct MeasuredStep {
  double seconds = 0;  // of its slowest rank
  StepLog log{};       // of this rank
};

/// What the ops of a log took.
double seconds_of_ops(const StepLog& log);

/// Training whose steps are timed one by one.
class TimedTraining {
 public:
  /// Of the ranks of `ranks`, all of which begin a step when the last of `beside` is there: ranks
  /// that are alone in `ranks` are measured side by side, as they share memory and cores. Takes the
  /// memory that is planned for it. What is given must outlive it. Collective over `ranks`.
  TimedTraining(const RunConfig& config, const RankGroups& ranks, Communicator& beside,
                Backend& backend);

  /// Trains for one step, and returns what the slowest rank took. Collective over both.
  double step();

  /// Of the steps so far, the one that took the median of their times; without the first, which
  /// meets cold memory. REQUIRES: two steps.
  MeasuredStep median() const;

 private:
  const RunConfig& config_;
  const RankGroups& ranks_;
  Communicator& beside_;
  Backend& backend_;
  StepRecorder recorder_;
  std::unique_ptr<Backend> observed_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Dataset> dataset_;
  TrainingState state_;
  SkipGuard guard_;
  std::vector<MeasuredStep> steps_;
};

/// The rates of the ops of `step`, which one rank did alone: FLOP/s of those that have arithmetic,
/// bytes/s of the others. Parts of attention that it did not need count as attention.
replay::Machine machine_of_ops(const MeasuredStep& step);

/// The link between the ranks of one node, from two operations: an all-reduce of one number and a
/// reduce-scatter of 16 MiB. `collectives` is what the replay takes them for. Collective.
replay::Link measure_link(Communicator& ranks, Backend& backend,
                          replay::Machine::Collectives collectives);

}  // namespace reformer
