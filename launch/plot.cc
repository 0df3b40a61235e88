// `reformer plot`: a run as a figure.
#include <filesystem>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "launch/commands.h"
#include "launch/exit_codes.h"
#include "launch/gnuplot.h"
#include "trainer/config/config.h"
#include "trainer/data/dataset.h"
#include "trainer/metrics_history.h"
#include "trainer/plot/run_plot.h"
#include "trainer/run_directory.h"

namespace reformer {
namespace {

struct Arguments {
  std::string run_directory;
  std::string output;
};

/// What a token of the run is.
std::string unit_of(const RunDirectory& directory) {
  if (!std::filesystem::exists(directory.config())) return "token";
  return token_name(load_config(directory.config(), {}).run.data());
}

int run(const Arguments& arguments) {
  const RunDirectory directory{arguments.run_directory};
  const std::string output =
      arguments.output.empty() ? directory.path + "/plot.svg" : arguments.output;
  const std::string format = picture_format(output);
  const MetricsHistory history = read_metrics(directory.metrics());
  if (history.steps.empty()) throw DataError(directory.metrics() + ": has no step yet");
  const std::string unit = unit_of(directory);
  draw_picture(output, [&](const std::string& path) {
    return run_plot(history, unit, {.title = directory.path, .path = path, .format = format});
  });
  fmt::print("wrote {}\n", output);
  return kExitOk;
}

}  // namespace

Command add_plot_command(CLI::App& program) {
  CLI::App* const app = program.add_subcommand(
      "plot", "Draw the loss, bits/byte, gradient norm and speed of a run with gnuplot.");
  const auto arguments = std::make_shared<Arguments>();
  app->add_option("run-dir", arguments->run_directory, "Run directory, such as runs/demo")
      ->required();
  app->add_option("output", arguments->output,
                  "A picture, NAME.svg or NAME.png (default: plot.svg in the run directory)");
  return {.app = app, .run = [arguments] { return run(*arguments); }};
}

}  // namespace reformer
