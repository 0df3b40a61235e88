#include "trainer/run_output.h"

#include <fstream>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {

RunOutput::RunOutput(const RunDirectory& directory, int rank, int ranks) : directory_(directory) {
  if (rank != 0) return;
  lock_ = std::make_unique<RunLock>(directory_);
  progress_ = std::make_unique<Progress>(
      directory_.log(), stdout,
      ranks == 1 ? Progress::Style::kLiveOnTerminal : Progress::Style::kPlain);
}

void RunOutput::begin(int64_t last_step, const std::string& config) {
  if (!lock_) return;
  metrics_ = std::make_unique<MetricsLog>(directory_.metrics(), last_step);
  events_ = std::make_unique<EventLog>(directory_.events(), last_step);
  std::ofstream file(directory_.config(), std::ios::trunc);
  file << config;
  if (!file.flush()) throw DataError(fmt::format("{}: cannot be written", directory_.config()));
}

void RunOutput::say(const std::string& text) {
  if (progress_) progress_->say(text);
}

void RunOutput::show(const ProgressLine& line, bool important) {
  if (progress_) progress_->show(line, important);
}

template <typename Metrics>
void RunOutput::record_everywhere(const Metrics& metrics) {
  if (!metrics_) return;
  const auto complain = [&](const std::string& path, bool* lost) {
    if (!*lost) {
      say(fmt::format("step {}: {} cannot be written, steps are missing from here on", metrics.step,
                      path));
    }
    *lost = true;
  };
  if (!metrics_->add(metrics)) complain(directory_.metrics(), &metrics_lost_);
  if (!events_->add(metrics)) complain(directory_.events(), &events_lost_);
}

template void RunOutput::record_everywhere(const StepMetrics& metrics);
template void RunOutput::record_everywhere(const EvaluationMetrics& metrics);

}  // namespace reformer
