// `reformer eval`: how well a trained model predicts held-out text.
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "comm/self.h"
#include "kernels/core/errors.h"
#include "kernels/cpu/cpu_backend.h"
#include "launch/commands.h"
#include "launch/exit_codes.h"
#include "trainer/config/config.h"
#include "trainer/data/dataset.h"
#include "trainer/evaluation.h"
#include "trainer/memory_plan.h"
#include "trainer/saved_state.h"

namespace reformer {
namespace {

struct Arguments {
  std::string run_directory;
  std::vector<std::string> overrides;
};

int run(const Arguments& arguments) {
  const auto say = [](const std::string& text) { fmt::print("{}\n", text); };
  const CheckpointReader checkpoint = require_newest(arguments.run_directory, say);
  const RunConfig config =
      parse_config(checkpoint.manifest().config(), checkpoint.path(), arguments.overrides);
  const std::unique_ptr<Dataset> dataset = make_dataset(config.run);
  const MemoryPlan plan = plan_evaluation(config);
  const std::string complaint = complaint_about_memory(plan);
  if (!complaint.empty()) throw DeviceError(complaint);
  const std::unique_ptr<Backend> backend =
      make_cpu_backend(static_cast<int>(config.run.execution().threads()));
  const std::unique_ptr<Arena> arena = backend->make_arena(plan.arena_bytes);
  TrainingState state(config.run, config.model, *backend, *arena);
  load_parameters(checkpoint, state.spec, *backend, state.parameters);
  SelfCommunicator communicator;
  say(fmt::format("{}, {}", checkpoint.path(), dataset->description()));
  say(describe(evaluate(config.run, *dataset, communicator, state)));
  return kExitOk;
}

}  // namespace

Command add_eval_command(CLI::App& program) {
  CLI::App* const app =
      program.add_subcommand("eval", "Evaluate the newest checkpoint of a run on held-out data.");
  const auto arguments = std::make_shared<Arguments>();
  app->add_option("run-dir", arguments->run_directory, "Run directory, such as runs/demo")
      ->required();
  app->add_option("--set", arguments->overrides,
                  "Set a field, such as --set evaluation.sequences=0 for all; may be repeated")
      ->allow_extra_args(false);
  return {.app = app, .run = [arguments] { return run(*arguments); }};
}

}  // namespace reformer
