// `reformer inspect`: what a run directory holds.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "comm/flight_recorder.h"
#include "kernels/core/errors.h"
#include "launch/commands.h"
#include "launch/exit_codes.h"
#include "trainer/config/config.h"
#include "trainer/config/resolve.h"
#include "trainer/memory_plan.h"
#include "trainer/model/parameters.h"
#include "trainer/run_directory.h"
#include "trainer/saved_state.h"

namespace reformer {
namespace {

std::string shape_text(const Shape& shape) {
  std::string text;
  for (int i = 0; i < shape.rank(); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : " × ", shape[i]);
  }
  return text;
}

void say(const std::string& text) {
  fmt::print("{}\n", text);
}

/// What each rank of the last start did last: the one that differs is the one to look at.
void show_last_operations(const RunDirectory& directory) {
  for (const std::string& file : list_flight_records(directory)) {
    const std::string rank = std::filesystem::path(file).filename();
    try {
      const std::vector<FlightRecord> records = read_flight_records(file);
      say(fmt::format("{}: {}", rank,
                      records.empty() ? "no operation yet" : describe(records.back())));
    } catch (const CommError& error) {
      say(fmt::format("{}: {}", rank, error.what()));
    }
  }
}

void show_tokenizer(const CheckpointReader& checkpoint) {
  try {
    say(fmt::format("tokenizer: {}", tokenizer_of(checkpoint)->description()));
  } catch (const ConfigError&) {
    // A task has no text.
  }
}

int run(const std::string& run_directory) {
  const RunDirectory directory{run_directory};
  show_last_operations(directory);
  const CheckpointReader checkpoint = require_newest(run_directory, say);
  const checkpoint::Manifest& manifest = checkpoint.manifest();
  const RunConfig config = parse_config(manifest.config(), checkpoint.path(), {});
  say(fmt::format("checkpoint {}, step {} of {}", checkpoint.path(), manifest.step(),
                  config.run.training().steps()));
  say(fmt::format("written on {}", manifest.numeric_identity()));
  show_tokenizer(checkpoint);
  say(fmt::format("parameter digest {:08x}", parameter_digest(checkpoint)));
  for (size_t layer = 0; layer < config.model.layers.size(); ++layer) {
    say(fmt::format("layer {}: {}", layer, describe_attention(config.model.layers[layer])));
  }
  say(fmt::format("{} parameters:", parameter_count(config.model)));
  for (const ParameterInfo& parameter : list_parameters(config.model)) {
    say(fmt::format("  {:<44} {}", parameter.name, shape_text(parameter.shape)));
  }
  say(fmt::format("training: {}", describe(plan_training(config))));
  say("configuration:");
  say(manifest.config());
  return kExitOk;
}

}  // namespace

Command add_inspect_command(CLI::App& program) {
  CLI::App* const app = program.add_subcommand("inspect",
                                               "Show what each rank of a run did last, and what "
                                               "its newest checkpoint holds, after verifying "
                                               "it.");
  const auto run_directory = std::make_shared<std::string>();
  app->add_option("run-dir", *run_directory, "Run directory, such as runs/demo")->required();
  return {.app = app, .run = [run_directory] { return run(*run_directory); }};
}

}  // namespace reformer
