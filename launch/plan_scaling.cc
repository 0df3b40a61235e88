#include "launch/plan_scaling.h"

#include <memory>
#include <string>

#include <fmt/format.h>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/plan_backend.h"
#include "launch/exit_codes.h"
#include "launch/job.h"
#include "trainer/replay/machine.h"
#include "trainer/replay/scaling.h"

namespace reformer {
namespace {

using replay::Machine;

std::string sequences_of(const config::Run& run) {
  const int64_t batch = run.training().batch();
  return fmt::format("{} sequence{} of {} tokens", batch, batch == 1 ? "" : "s",
                     run.data().length());
}

void predict(const std::string& file, RunConfig config) {
  const Machine machine = load_machine(file);
  const bool bfloat16 = machine.activations() == Machine::BFLOAT16;
  config.model.compute_dtype = bfloat16 ? DType::kBFloat16 : DType::kFloat32;
  const bool cuda = bfloat16 && cuda_status().built;
  const std::unique_ptr<Backend> planner = cuda ? make_cuda_planner() : make_plan_backend();
  fmt::print(
      "Predicted, not measured, for {} ({}); trainer/replay/README.md has what is assumed.\n",
      machine.name(), file);
  const auto show = [&](const std::string& title, Scaling scaling) {
    fmt::print("\n{}:\n\n{}", title,
               scaling_table(predict_scaling(config, scaling, machine, *planner), machine));
  };
  show(fmt::format("{} a step, on any number of ranks", sequences_of(config.run)),
       Scaling::kStrong);
  show(fmt::format("a sequence of {} tokens a step for each rank", config.run.data().length()),
       Scaling::kWeak);
}

}  // namespace

void add_scaling_options(CLI::App& app, ScalingArguments& arguments) {
  CLI::Option* const scaling = app.add_option(
      "--scaling", arguments.machine,
      "Instead: predict the time of a step on 1, 2, 4, … ranks of a machine, such as "
      "configs/machines/h100.txtpb");
  CLI::Option* const measured = app.add_option(
      "--measure", arguments.measured.machine,
      "Instead: run steps here, on one rank and on those that mpirun started, lay the time beside "
      "the prediction, and write this machine to a file for --scaling");
  for (const char* const other : {"--ranks", "--fit", "--json"}) {
    scaling->excludes(other);
    measured->excludes(other);
  }
  app.add_option("--steps", arguments.measured.steps, "Steps that --measure takes the median of")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->needs(measured);
}

int run_scaling(const ScalingArguments& arguments, const RunConfig& config) {
  return run_as_rank([&](const RankPlace& place) {
    if (!arguments.measured.machine.empty()) measure_machine(arguments.measured, config, place);
    if (!arguments.machine.empty() && place.communicator.rank() == 0) {
      predict(arguments.machine, config);
    }
    return static_cast<int>(kExitOk);
  });
}

}  // namespace reformer
