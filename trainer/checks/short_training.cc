#include "trainer/checks/short_training.h"

#include <memory>

#include "trainer/memory_plan.h"
#include "trainer/step.h"

namespace reformer {

ShortTraining train_shortly(const RunConfig& config, Communicator& communicator, Backend& backend) {
  const MemoryPlan plan = plan_training(config, communicator.size(), &backend);
  const std::unique_ptr<Arena> arena = take(plan, backend);
  const std::unique_ptr<Dataset> dataset = make_dataset(config.run);
  TrainingState state(config.run, config.model, backend, *arena, communicator.rank(),
                      communicator.size());
  state.initialize_parameters(config.run.training().seed());
  SkipGuard guard(config.run.training());
  ShortTraining result;
  for (int64_t step = 1; step <= config.run.training().steps(); ++step) {
    result.losses.push_back(
        train_step(config.run, *dataset, communicator, state, guard, step).loss);
  }
  result.parameters = Tensor(DType::kFloat32, state.parameters.shape());
  backend.download(state.parameters, result.parameters.view().raw());
  result.arena_bytes = arena->peak();
  return result;
}

}  // namespace reformer
