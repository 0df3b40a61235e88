#include "trainer/checks/short_training.h"

#include <memory>

#include "trainer/memory_plan.h"

namespace reformer {

ShortRun::ShortRun(const RunConfig& config, const RankGroups& ranks, Backend& backend, Arena& arena)
    : run_(config.run),
      ranks_(ranks),
      dataset_(make_dataset(run_)),
      state_(run_, config.model, backend, arena, ranks.world.rank(), ranks.world.size()),
      guard_(run_.training()) {
  state_.initialize_parameters(run_.training().seed());
}

double ShortRun::step(int64_t step) {
  return train_step(run_, *dataset_, ranks_, state_, guard_, step).loss;
}

ShortTraining train_shortly(const RunConfig& config, const RankGroups& ranks, Backend& backend) {
  const MemoryPlan plan = plan_training(config, ranks.mesh, &backend);
  const std::unique_ptr<Arena> arena = take(plan, backend);
  ShortRun run(config, ranks, backend, *arena);
  ShortTraining result;
  for (int64_t step = 1; step <= config.run.training().steps(); ++step) {
    result.losses.push_back(run.step(step));
  }
  result.parameters = Tensor(DType::kFloat32, run.state().parameters.shape());
  backend.download(run.state().parameters, result.parameters.view().raw());
  result.arena_bytes = arena->peak();
  return result;
}

}  // namespace reformer
