// What a run shows and leaves behind: the lock on its directory, the log, the metrics, the live
// line.
#pragma once

#include <memory>
#include <string>

#include "trainer/event_log.h"
#include "trainer/metrics.h"
#include "trainer/progress.h"
#include "trainer/run_directory.h"

namespace reformer {

class RunOutput {
 public:
  /// Rank 0 takes the directory, as RunLock does. On the others nothing here has any effect. Throws
  /// DataError.
  RunOutput(const RunDirectory& directory, int rank, int ranks);

  /// Begins the metrics again after step `last_step`, and writes `config` into the directory.
  /// Throws DataError.
  void begin(int64_t last_step, const std::string& config);

  /// A line of its own, on the output and in the log.
  void say(const std::string& text);

  /// Shows a step; see Progress.
  void show(const ProgressLine& line, bool important);

  /// Into the metrics and the events. A full disk does not end the training, but it is said, once
  /// for each.
  void record(const StepMetrics& metrics) { record_everywhere(metrics); }
  void record(const EvaluationMetrics& metrics) { record_everywhere(metrics); }

 private:
  template <typename Metrics>
  void record_everywhere(const Metrics& metrics);

  RunDirectory directory_;
  std::unique_ptr<RunLock> lock_;  // these are absent on the other ranks
  std::unique_ptr<Progress> progress_;
  std::unique_ptr<MetricsLog> metrics_;
  std::unique_ptr<EventLog> events_;
  bool metrics_lost_ = false;
  bool events_lost_ = false;
};

}  // namespace reformer
