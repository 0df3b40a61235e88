// `reformer plan`: what a run takes on many ranks, and what fits, before anything runs.
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "launch/commands.h"
#include "launch/config_options.h"
#include "launch/device.h"
#include "launch/exit_codes.h"
#include "launch/output_file.h"
#include "launch/plan_report.h"
#include "launch/plan_scaling.h"
#include "trainer/config/config.h"
#include "trainer/process_memory.h"

namespace reformer {
namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  int ranks = 1;
  bool fit = false;
  size_t memory = 0;  // 0: what there is here
  std::string json;
  ScalingArguments scaling;
};

size_t memory_here(const Backend& backend) {
  if (backend.free_device_memory()) return *backend.free_device_memory();
  const std::optional<size_t> available = available_memory();
  if (!available) {
    throw ConfigError(
        "--memory: not given, and this machine does not tell what it has, legal: 80GiB");
  }
  return *available;
}

Fits find_fits(const Arguments& arguments, const RunConfig& config, const Backend& backend) {
  const size_t memory = arguments.memory > 0 ? arguments.memory : memory_here(backend);
  const ConfigOfLength config_of = [&](int64_t length) {
    std::vector<std::string> overrides = arguments.overrides;
    overrides.push_back(fmt::format("data.length={}", length));
    RunConfig longer = load_config(arguments.config, overrides);
    longer.model.compute_dtype = config.model.compute_dtype;
    return longer;
  };
  Fits fits{.memory = memory, .longest = {}, .fewest = fit_ranks(config, memory, backend)};
  if (config.run.data().source() != config::Data::RECORDS) {
    fits.longest = fit_length(config_of, config, arguments.ranks, memory, backend);
  }
  return fits;
}

int run(const Arguments& arguments) {
  if (arguments.scaling.any()) {
    return run_scaling(arguments.scaling, load_config(arguments.config, arguments.overrides));
  }
  PlanReport report{.config = load_config(arguments.config, arguments.overrides)};
  const std::unique_ptr<Backend> backend = make_backend(report.config, 1);
  report.plan = plan_run(report.config, arguments.ranks, *backend);
  if (arguments.fit) report.fits = find_fits(arguments, report.config, *backend);
  fmt::print("{}", plan_tables(report));
  if (!arguments.json.empty()) write_file(arguments.json, to_json(report));
  return kExitOk;
}

}  // namespace

Command add_plan_command(CLI::App& program) {
  CLI::App* const app = program.add_subcommand(
      "plan", "Tell what a run takes of memory, network and arithmetic, without running it.");
  const auto arguments = std::make_shared<Arguments>();
  add_config_options(*app, arguments->config, arguments->overrides);
  app->add_option("--ranks", arguments->ranks,
                  fmt::format("Ranks that the run would have, at most {} (default: 1)", kMostRanks))
      ->check(CLI::Range(1, kMostRanks));
  app->add_flag("--fit", arguments->fit,
                "Also find the longest data.length for these ranks, and the fewest ranks for this "
                "data.length");
  app->add_option("--memory", arguments->memory,
                  "What a rank may take for --fit, such as 80GiB (default: what a rank alone has "
                  "here)")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->needs("--fit");
  app->add_option("--json", arguments->json, "Also write everything to this file");
  add_scaling_options(*app, arguments->scaling);
  return {.app = app, .run = [arguments] { return run(*arguments); }};
}

}  // namespace reformer
