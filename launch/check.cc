// `reformer check`: does the program compute here what it was tested to compute?
#include "trainer/checks/check.h"

#include <memory>
#include <string>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "kernels/cpu/cpu_backend.h"
#include "launch/check_device.h"
#include "launch/check_runner.h"
#include "launch/commands.h"
#include "launch/job.h"
#include "launch/rank_cores.h"

namespace reformer {
namespace {

int run_rank(const RankPlace& place) {
  const int threads = threads_of_rank(place.communicator, place.host);
  const std::unique_ptr<Backend> backend = make_cpu_backend(threads);
  CheckRunner checks(place);
  checks.say(fmt::format("{}, {}\n", backend->description(), place.communicator.description()));
  checks.run([&] { return check_gradients(*backend); });
  checks.run([&] { return check_reversibility(*backend); });
  checks.run([&] { return check_decoding(*backend); });
  checks.run([&] { return check_ranks(place.communicator, [] { return make_cpu_backend(1); }); });
  return checks.exit_code();
}

struct Arguments {
  std::string device = "cpu";
  bool floors = false;
  CheckDeviceOptions on_device;
};

int run(const Arguments& arguments) {
  if (arguments.device == "cuda") {
    if (arguments.floors) return print_floors(arguments.on_device);
    return run_as_rank(
        [&](const RankPlace& place) { return check_device(arguments.on_device, place); });
  }
  if (arguments.floors || arguments.on_device.small || !arguments.on_device.json.empty()) {
    throw ConfigError("--small, --floors and --json go with --device cuda");
  }
  return run_as_rank(run_rank);
}

}  // namespace

Command add_check_command(CLI::App& program) {
  CLI::App* const app = program.add_subcommand(
      "check",
      "Check on this machine that gradients, reversible layers, decoding and ranks compute what "
      "they should. Under mpirun its ranks are used.");
  const auto arguments = std::make_shared<Arguments>();
  app->add_option("--device", arguments->device,
                  "cpu: the checks above. cuda: the GPU against the CPU, op by op and in training, "
                  "and the times of its kernels")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app->add_flag("--small", arguments->on_device.small,
                "With --device cuda: problems small enough for an interpreter of kernels");
  app->add_flag(
      "--floors", arguments->floors,
      "With --device cuda: print instead the shortest times that the timed ops may take on "
      "an H100; needs no GPU");
  app->add_option("--json", arguments->on_device.json,
                  "With --device cuda: write the results to this file as well");
  return {.app = app, .run = [arguments] { return run(*arguments); }};
}

}  // namespace reformer
