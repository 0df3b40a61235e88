#include "trainer/trainer.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <optional>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/config/resolve.h"
#include "trainer/data/dataset.h"
#include "trainer/evaluation.h"
#include "trainer/gemm_rate.h"
#include "trainer/memory_plan.h"
#include "trainer/metrics.h"
#include "trainer/model/flops.h"
#include "trainer/model/parameters.h"
#include "trainer/process_memory.h"
#include "trainer/progress.h"
#include "trainer/run_directory.h"
#include "trainer/saved_state.h"
#include "trainer/skip_guard.h"
#include "trainer/step.h"
#include "trainer/training_state.h"

namespace reformer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  if (!file.flush()) throw DataError(fmt::format("{}: cannot be written", path));
}

/// What the run takes, once it is known that the machine can give it.
MemoryPlan plan_within_memory(const RunConfig& config) {
  const MemoryPlan plan = plan_training(config);
  require_available(plan);
  return plan;
}

class Training {
 public:
  Training(const RunConfig& config, const TrainOptions& options, Backend& backend,
           Communicator& communicator)
      : config_(config),
        options_(options),
        backend_(backend),
        communicator_(communicator),
        directory_{options.run_directory},
        dataset_(make_dataset(config.run)),
        plan_(plan_within_memory(config)),
        lock_(directory_),
        arena_(backend.make_arena(plan_.arena_bytes)),
        state_(config.run, config.model, backend, *arena_),
        guard_(config.run.training()),
        progress_(directory_.log(), stdout) {}

  TrainOutcome run() {
    announce();
    start_or_resume();
    MetricsLog metrics(directory_.metrics(), step_);
    write_text(directory_.config(), to_text(config_.run));
    gemm_rate_ = measure_gemm_rate(backend_);
    start_time_ = Clock::now();
    first_step_ = step_;

    const int64_t last_step = options_.stop_at > 0
                                  ? std::min(options_.stop_at, config_.run.training().steps())
                                  : config_.run.training().steps();
    if (step_ >= last_step) progress_.say(fmt::format("step {} is already done", step_));
    while (step_ < last_step && !stop_requested()) {
      ++step_;
      run_step(metrics);
      if (is_due(config_.run.evaluation().every())) run_evaluation(metrics);
      if (is_due(config_.run.checkpoint().every()) || step_ == last_step) save();
    }
    return finish();
  }

 private:
  void announce() {
    progress_.say(fmt::format("{}, {}", backend_.description(), communicator_.description()));
    progress_.say(dataset_->description());
    progress_.say(fmt::format("{} parameters, {:.2f} MFLOP per token and step",
                              parameter_count(config_.model), flops_per_token() * 1e-6));
    for (size_t layer = 0; layer < config_.model.layers.size(); ++layer) {
      progress_.say(
          fmt::format("layer {}: {}", layer, describe_attention(config_.model.layers[layer])));
    }
    progress_.say(describe(plan_));
    const config::Training& training = config_.run.training();
    progress_.say(fmt::format("{} steps of {} sequences of {} tokens, {} at a time",
                              training.steps(), training.batch(), config_.run.data().length(),
                              micro_batch_of(training)));
  }

  void start_or_resume() {
    const auto say = [this](const std::string& text) { progress_.say(text); };
    const std::optional<CheckpointReader> newest = open_newest(directory_.checkpoints(), say);
    if (newest) {
      step_ = load_state(*newest, config_, state_, guard_);
      warn_if_bits_may_differ(*newest);
      progress_.say(fmt::format("resumed after step {}", step_));
    } else {
      state_.initialize_parameters(config_.run.training().seed());
      progress_.say(fmt::format("new run in {}", directory_.path));
    }
  }

  void warn_if_bits_may_differ(const CheckpointReader& checkpoint) {
    const std::string& writer = checkpoint.manifest().numeric_identity();
    if (writer == backend_.numeric_identity()) return;
    progress_.say(
        fmt::format("note: the checkpoint was written on {}, this is {}: results agree "
                    "up to rounding, not to the bit",
                    writer, backend_.numeric_identity()));
  }

  void run_step(MetricsLog& metrics) {
    const Clock::time_point before = Clock::now();
    const StepResult result =
        train_step(config_.run, *dataset_, communicator_, state_, guard_, step_);
    const double seconds = seconds_between(before, Clock::now());
    const double rate = static_cast<double>(result.tokens) / seconds;
    if (result.skipped) {
      progress_.say(fmt::format("step {} was skipped: {}", step_, guard_.reason()));
    }
    record(metrics, StepMetrics{.step = step_,
                                .loss = result.loss,
                                .accuracy = result.accuracy,
                                .learning_rate = result.learning_rate,
                                .gradient_norm = result.gradient_norm,
                                .tokens_per_second = rate,
                                .model_flops_per_second = rate * flops_per_token(),
                                .skipped = result.skipped ? guard_.reason() : ""});
    const bool first_or_last = step_ == first_step_ + 1 || step_ == config_.run.training().steps();
    progress_.show({.step = step_,
                    .steps = config_.run.training().steps(),
                    .loss = result.loss,
                    .learning_rate = result.learning_rate,
                    .gradient_norm = result.gradient_norm,
                    .tokens_per_second = rate,
                    .model_flops_per_second = rate * flops_per_token(),
                    .gemm_share = rate * flops_per_token() / gemm_rate_,
                    .memory_bytes = resident_memory(),
                    .seconds_left = seconds_left()},
                   first_or_last);
  }

  void run_evaluation(MetricsLog& metrics) {
    const EvaluationResult result = evaluate(config_.run, *dataset_, state_);
    record(metrics, EvaluationMetrics{.step = step_,
                                      .loss = result.loss,
                                      .accuracy = result.accuracy,
                                      .tokens = result.tokens});
    progress_.say(fmt::format("step {}: {}", step_, describe(result)));
    gemm_rate_ = measure_gemm_rate(backend_);
  }

  /// A full disk does not end the training, but it is said, once.
  template <typename Metrics>
  void record(MetricsLog& log, const Metrics& metrics) {
    if (log.add(metrics) || metrics_lost_) return;
    metrics_lost_ = true;
    progress_.say(fmt::format("step {}: {} cannot be written, lines are missing from here on",
                              step_, directory_.metrics()));
  }

  void save() {
    const std::string path = save_state(directory_.checkpoints(), config_, step_, state_, guard_);
    progress_.say(fmt::format("saved {}", path));
    saved_step_ = step_;
  }

  TrainOutcome finish() {
    const bool interrupted = stop_requested() && step_ < config_.run.training().steps();
    if (interrupted && step_ > first_step_ && saved_step_ != step_) save();
    if (interrupted) {
      progress_.say(fmt::format("stopped by a signal after step {}; start again to go on", step_));
      return TrainOutcome::kInterrupted;
    }
    progress_.say(fmt::format("peak memory {}, of which planned {}",
                              format_bytes(peak_resident_memory()), format_bytes(arena_->peak())));
    return step_ == config_.run.training().steps() ? TrainOutcome::kFinished
                                                   : TrainOutcome::kReachedStop;
  }

  bool stop_requested() const { return options_.stop != nullptr && options_.stop->load(); }

  /// Every `every` steps, and after the last step of the run.
  bool is_due(int64_t every) const {
    return step_ == config_.run.training().steps() || (every > 0 && step_ % every == 0);
  }

  double flops_per_token() const {
    return step_flops_per_token(config_.model, config_.run.data().length());
  }

  double seconds_left() const {
    const double done = static_cast<double>(step_ - first_step_);
    const double left = static_cast<double>(config_.run.training().steps() - step_);
    return seconds_between(start_time_, Clock::now()) / done * left;
  }

  const RunConfig& config_;
  const TrainOptions& options_;
  Backend& backend_;
  Communicator& communicator_;
  const RunDirectory directory_;
  const std::unique_ptr<Dataset> dataset_;
  const MemoryPlan plan_;
  const RunLock lock_;
  const std::unique_ptr<Arena> arena_;
  TrainingState state_;
  SkipGuard guard_;
  Progress progress_;

  int64_t step_ = 0;        // the last one that is done
  int64_t first_step_ = 0;  // done before this start
  int64_t saved_step_ = 0;
  bool metrics_lost_ = false;
  double gemm_rate_ = 0;
  Clock::time_point start_time_;
};

}  // namespace

TrainOutcome train(const RunConfig& config, const TrainOptions& options, Backend& backend,
                   Communicator& communicator) {
  return Training(config, options, backend, communicator).run();
}

}  // namespace reformer
