#include "trainer/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/agreement.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/config/resolve.h"
#include "trainer/data/dataset.h"
#include "trainer/derive_mesh.h"
#include "trainer/evaluation/evaluate.h"
#include "trainer/gemm_rate.h"
#include "trainer/memory_plan.h"
#include "trainer/model/flops.h"
#include "trainer/model/parameters.h"
#include "trainer/process_memory.h"
#include "trainer/run_directory.h"
#include "trainer/run_output.h"
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

/// What a rank takes, once it is known that every machine can give it to all that are on it. No
/// rank takes anything before all have looked. Collective.
MemoryPlan plan_within_memory(const RunConfig& config, int local_ranks, const Backend& backend,
                              const RankGroups& ranks) {
  const MemoryPlan plan = plan_training(config, ranks.mesh, &backend);
  const std::string complaint =
      first_complaint(ranks.world, complaint_about_memory(plan, local_ranks, &backend), "memory");
  if (!complaint.empty()) throw DeviceError(complaint);
  return plan;
}

/// What all ranks must have in common, in lines.
std::string common_settings(const RunConfig& config, const TrainOptions& options) {
  config::Run run = config.run;
  run.mutable_execution()->set_threads(0);  // a rank's own business
  return fmt::format("{}stop at: {}\n", to_text(run), options.stop_at);
}

/// The ranks as the run asks for them, once it is known that all ask for the same. Collective.
RankGroups group_ranks(const RunConfig& config, const TrainOptions& options, const Backend& backend,
                       Communicator& world) {
  const std::string other_settings =
      find_disagreement(world, "configuration", common_settings(config, options));
  if (!other_settings.empty()) throw ConfigError(other_settings);
  return split_by_mesh(world, derive_mesh(config, backend, world.rank(), world.size()));
}

/// What a run keeps: the layout is asked of this start, and the next may have other ranks.
RunConfig without_layout(RunConfig config) {
  config::Parallel& parallel = *config.run.mutable_parallel();
  parallel.set_data(0);
  parallel.set_sequence(0);
  if (parallel.has_heads()) parallel.set_heads(0);
  return config;
}

/// The dataset in words, with a checksum of some of its sequences: a copy on another machine may
/// have the same name and size.
std::string fingerprint(const Dataset& dataset) {
  constexpr int64_t kSteps = 16;
  std::string text = dataset.description() + "; sequences";
  for (int64_t step = 1; step <= kSteps; ++step) {
    const Tensor tokens = dataset.training_batch(step, 0, 1).tokens;
    text += fmt::format(" {:08x}", crc32c(tokens.view().raw(), tokens.view().bytes()));
  }
  return text;
}

class Training {
 public:
  Training(const RunConfig& config, const TrainOptions& options, Backend& backend,
           Communicator& communicator)
      : config_(without_layout(config)),
        options_(options),
        backend_(backend),
        communicator_(communicator),
        directory_{options.run_directory},
        dataset_(make_dataset(config.run)),
        tokenizer_model_(tokenizer_model_of(config.run)),
        ranks_(group_ranks(config, options, backend, communicator)),
        plan_(plan_within_memory(config_, options.local_ranks, backend, ranks_)),
        output_(directory_, communicator.rank(), communicator.size()),
        arena_(take(plan_, backend)),
        state_(config.run, config.model, backend, *arena_, communicator.rank(),
               communicator.size()),
        guard_(config.run.training()) {}

  TrainOutcome run() {
    announce();
    require_agreement();
    keep_flight_record();
    start_or_resume();
    output_.begin(step_, to_text(config_.run));
    gemm_rate_ = gemm_rate_of_all_ranks();
    start_time_ = Clock::now();
    first_step_ = step_;

    const int64_t last_step = options_.stop_at > 0
                                  ? std::min(options_.stop_at, config_.run.training().steps())
                                  : config_.run.training().steps();
    if (step_ >= last_step) output_.say(fmt::format("step {} is already done", step_));
    while (step_ < last_step && !ranks_are_asked_to_stop()) {
      ++step_;
      run_step();
      if (is_due(config_.run.evaluation().every())) run_evaluation();
      if (is_due(config_.run.checkpoint().every()) || step_ == last_step) save();
    }
    return finish();
  }

 private:
  void announce() {
    output_.say(fmt::format("{}, {}", backend_.description(), communicator_.description()));
    output_.say(dataset_->description());
    output_.say(fmt::format("{} parameters, {:.2f} MFLOP per token and step",
                            parameter_count(config_.model), flops_per_token() * 1e-6));
    const int64_t length = config_.run.data().length();
    if (communicator_.size() > 1) {
      output_.say(describe(ranks_.mesh, length, config_.model.leaf_tokens));
    }
    for (const std::string& line : describe_layers(ranks_.mesh, config_.model)) output_.say(line);
    output_.say(describe(plan_));
    const config::Training& training = config_.run.training();
    output_.say(fmt::format("{} steps of {} sequences of {} tokens, {} at a time", training.steps(),
                            training.batch(), length, micro_batch_of(training)));
    if (training.batch() < ranks_.mesh.data_size) {
      const int64_t idle = (ranks_.mesh.data_size - training.batch()) * ranks_.mesh.sequence_size;
      output_.say(
          fmt::format("note: {} of the {} ranks have no sequence to work on; more than "
                      "training.batch groups are of no use",
                      idle, communicator_.size()));
    }
    const config::Evaluation& evaluation = config_.run.evaluation();
    if (has_hashed_layer(config_.model) && evaluation.lsh_queries() > 0 &&
        !LshHealth::can_observe(ranks_.mesh)) {
      output_.say(fmt::format("note: {}", LshHealth::kNotObserved));
    }
  }

  void require_agreement() {
    const std::string other_data =
        find_disagreement(communicator_, "dataset", fingerprint(*dataset_));
    if (!other_data.empty()) throw DataError(other_data);
    const std::vector<std::string> identities =
        communicator_.gather_text(backend_.numeric_identity(), "numeric identities");
    for (size_t rank = 1; rank < identities.size(); ++rank) {
      if (identities[rank] == identities[0]) continue;
      output_.say(
          fmt::format("note: rank 0 computes on {}, rank {} on {}: results depend on which rank "
                      "does what",
                      identities[0], rank, identities[rank]));
      return;
    }
  }

  /// Nobody writes into the directory before rank 0 holds it.
  void keep_flight_record() {
    communicator_.barrier("run directory");
    if (communicator_.size() == 1) return;
    std::string complaint;
    try {
      communicator_.recorder().keep_in(directory_.flight_record(communicator_.rank()));
    } catch (const CommError& error) {
      complaint = fmt::format("note: rank {}: {}", communicator_.rank(), error.what());
    }
    complaint = first_complaint(communicator_, complaint, "flight records");
    if (!complaint.empty()) output_.say(complaint);
  }

  void start_or_resume() {
    std::optional<CheckpointReader> newest;
    if (communicator_.rank() == 0) {
      newest = open_newest(directory_.checkpoints(),
                           [this](const std::string& text) { output_.say(text); });
    }
    if (newest) require_same_tokenizer(*newest, config_.run, tokenizer_model_);
    if (communicator_.sum(newest ? 1 : 0, "is there a checkpoint") > 0) {
      step_ = load_state(newest ? &*newest : nullptr, config_, state_, guard_, communicator_);
      if (newest) warn_if_bits_may_differ(*newest);
      output_.say(fmt::format("resumed after step {}", step_));
    } else {
      state_.initialize_parameters(config_.run.training().seed());
      output_.say(fmt::format("new run in {}", directory_.path));
    }
  }

  void warn_if_bits_may_differ(const CheckpointReader& checkpoint) {
    const std::string& writer = checkpoint.manifest().numeric_identity();
    if (writer == backend_.numeric_identity()) return;
    output_.say(
        fmt::format("note: the checkpoint was written on {}, this is {}: results agree "
                    "up to rounding, not to the bit",
                    writer, backend_.numeric_identity()));
  }

  void run_step() {
    const Clock::time_point before = Clock::now();
    const StepResult result = train_step(config_.run, *dataset_, ranks_, state_, guard_, step_);
    const double seconds = seconds_between(before, Clock::now());
    const double rate = static_cast<double>(result.tokens) / seconds;
    if (result.skipped) {
      output_.say(fmt::format("step {} was skipped: {}", step_, guard_.reason()));
    }
    output_.record(StepMetrics{.step = step_,
                               .loss = result.loss,
                               .accuracy = result.accuracy,
                               .learning_rate = result.learning_rate,
                               .gradient_norm = result.gradient_norm,
                               .tokens_per_second = rate,
                               .model_flops_per_second = rate * flops_per_token(),
                               .seconds_waited = result.seconds_waited,
                               .skipped = result.skipped ? guard_.reason() : ""});
    const bool first_or_last = step_ == first_step_ + 1 || step_ == config_.run.training().steps();
    output_.show({.step = step_,
                  .steps = config_.run.training().steps(),
                  .loss = result.loss,
                  .token_name = token_name(config_.run.data()),
                  .learning_rate = result.learning_rate,
                  .gradient_norm = result.gradient_norm,
                  .tokens_per_second = rate,
                  .model_flops_per_second = rate * flops_per_token(),
                  .gemm_share = rate * flops_per_token() / gemm_rate_,
                  .waited_share = communicator_.size() > 1 ? result.seconds_waited / seconds : 0,
                  .memory_bytes = resident_memory(),
                  .seconds_left = seconds_left()},
                 first_or_last);
  }

  void run_evaluation() {
    const config::Evaluation& evaluation = config_.run.evaluation();
    LshHealth health(config_.model, evaluation.lsh_queries(), evaluation.seed());
    const bool observed = evaluation.lsh_queries() > 0 && LshHealth::can_observe(ranks_.mesh);
    const EvaluationResult result =
        evaluate(config_.run, *dataset_, ranks_, state_, {.health = observed ? &health : nullptr});
    const std::vector<HeadHealth> heads =
        observed ? health.result(communicator_) : std::vector<HeadHealth>();
    output_.record(EvaluationMetrics{.step = step_,
                                     .loss = result.loss,
                                     .accuracy = result.accuracy,
                                     .tokens = result.tokens,
                                     .lsh = heads});
    output_.say(
        fmt::format("step {}: {}", step_, describe(result, token_name(config_.run.data()))));
    if (!heads.empty()) output_.say(fmt::format("step {}: {}", step_, summarize(heads)));
    gemm_rate_ = gemm_rate_of_all_ranks();
  }

  void save() {
    const std::string path = save_state({.directory = directory_.checkpoints(),
                                         .config = config_,
                                         .tokenizer_model = tokenizer_model_,
                                         .step = step_},
                                        state_, guard_, communicator_);
    output_.say(fmt::format("saved {}", path));
    saved_step_ = step_;
  }

  TrainOutcome finish() {
    if (stopping_ && step_ < config_.run.training().steps()) {
      if (step_ > first_step_ && saved_step_ != step_) save();
      output_.say(fmt::format("stopped by a signal after step {}; start again to go on", step_));
      return TrainOutcome::kInterrupted;
    }
    report_peak_memory();
    return step_ == config_.run.training().steps() ? TrainOutcome::kFinished
                                                   : TrainOutcome::kReachedStop;
  }

  void report_peak_memory() {
    const std::vector<int64_t> peaks =
        communicator_.gather(static_cast<int64_t>(peak_resident_memory()), "peak memory");
    const auto most = static_cast<size_t>(*std::max_element(peaks.begin(), peaks.end()));
    output_.say(fmt::format("peak memory {}{}, of which planned {}", format_bytes(most),
                            peaks.size() > 1 ? " a rank" : "", format_bytes(arena_->peak())));
  }

  /// A signal may reach one rank alone, or all at different steps.
  bool ranks_are_asked_to_stop() {
    const bool asked = options_.stop != nullptr && options_.stop->load();
    stopping_ = communicator_.sum(asked ? 1 : 0, "asked to stop?") > 0;
    return stopping_;
  }

  double gemm_rate_of_all_ranks() {
    communicator_.barrier("rate of matrix products");
    return static_cast<double>(
        communicator_.sum(std::llround(measure_gemm_rate(backend_)), "rate of matrix products"));
  }

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

  const RunConfig config_;
  const TrainOptions& options_;
  Backend& backend_;
  Communicator& communicator_;
  const RunDirectory directory_;
  const std::unique_ptr<Dataset> dataset_;
  const std::string tokenizer_model_;
  const RankGroups ranks_;
  const MemoryPlan plan_;
  RunOutput output_;
  const std::unique_ptr<Arena> arena_;
  TrainingState state_;
  SkipGuard guard_;

  int64_t step_ = 0;        // the last one that is done
  int64_t first_step_ = 0;  // done before this start
  int64_t saved_step_ = 0;
  bool stopping_ = false;  // a rank was asked to stop
  double gemm_rate_ = 0;
  Clock::time_point start_time_;
};

}  // namespace

TrainOutcome train(const RunConfig& config, const TrainOptions& options, Backend& backend,
                   Communicator& communicator) {
  return Training(config, options, backend, communicator).run();
}

}  // namespace reformer
