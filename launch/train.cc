// `reformer train`: trains a model from a configuration, or goes on with a run.
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/config_options.h"
#include "launch/device.h"
#include "launch/exit_codes.h"
#include "launch/job.h"
#include "launch/signals.h"
#include "trainer/config/config.h"
#include "trainer/run_directory.h"
#include "trainer/trainer.h"

namespace reformer {
namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  std::string run_directory;
  int64_t stop_at = 0;
};

/// A run directory's own configuration goes on with that run; any other has one under its name.
std::string default_run_directory(const std::string& config) {
  namespace fs = std::filesystem;
  const fs::path path(config);
  const RunDirectory around{path.has_parent_path() ? path.parent_path().string() : "."};
  const bool is_of_run = path.filename() == fs::path(around.config()).filename();
  if (is_of_run && fs::is_directory(around.checkpoints())) return around.path;
  return "runs/" + path.stem().string();
}

int run_rank(const Arguments& arguments, const RankPlace& place) {
  RunConfig config = load_config(arguments.config, arguments.overrides);
  const TrainOptions options{.run_directory = arguments.run_directory.empty()
                                                  ? default_run_directory(arguments.config)
                                                  : arguments.run_directory,
                             .stop_at = arguments.stop_at,
                             .stop = &catch_stop_signals(),
                             .local_ranks = place.local_ranks};
  config::Execution& execution = *config.run.mutable_execution();
  require_ranks(place.communicator.size(), execution.ranks(), std::getenv);
  execution.set_ranks(0);  // asked of this start, not of the run
  const RankDevice device = make_rank_device(config, place);
  const TrainOutcome outcome = train(config, options, *device.backend, device.ranks);
  return outcome == TrainOutcome::kInterrupted ? kExitStopped : kExitOk;
}

int run(const Arguments& arguments) {
  return run_as_rank([&](const RankPlace& place) { return run_rank(arguments, place); });
}

}  // namespace

Command add_train_command(CLI::App& program) {
  CLI::App* const app = program.add_subcommand(
      "train", "Train a model. A run directory that holds a checkpoint is resumed.");
  const auto arguments = std::make_shared<Arguments>();
  add_config_options(*app, arguments->config, arguments->overrides);
  app->add_option("--run-dir", arguments->run_directory,
                  "Where results and checkpoints go (default: runs/NAME of the configuration, "
                  "or the run directory that it lies in)");
  app->add_option("--stop-at", arguments->stop_at,
                  "Save and stop after this step; the schedule still runs to training.steps")
      ->check(CLI::PositiveNumber);
  return {.app = app, .run = [arguments] { return run(*arguments); }};
}

}  // namespace reformer
