#include "trainer/replay/planned_log.h"

#include <cstdlib>
#include <memory>

#include "comm/plan.h"
#include "trainer/derive_mesh.h"
#include "trainer/planning.h"
#include "trainer/replay/step_recorder.h"
#include "trainer/step.h"

namespace reformer {
PlannedLog plan_log(const RunConfig& config, const Mesh& place, const Backend& on) {
  const auto recorder = std::make_shared<StepRecorder>();
  const std::unique_ptr<Backend> planner = planner_for(&on);
  const std::unique_ptr<Backend> observed = recorder->record(*planner);
  const std::unique_ptr<Arena> arena = planner->make_arena(kEndlessBytes);
  const BlankDataset dataset(config.run, place.data_size);
  PlanCommunicator world(place.rank(), place.size(), {.observer = recorder});
  const RankGroups ranks = plan_groups(world, place, {.observer = recorder});
  recorder->follow(ranks);
  TrainingState state(config.run, config.model, *observed, *arena, place.rank(), place.size());
  SkipGuard guard(config.run.training());
  recorder->take_log();  // what the state began with
  train_step(config.run, dataset, ranks, state, guard, 1);
  const Slice own = tokens_of_ranks(config, place)[static_cast<size_t>(place.sequence_rank)];
  return {
      .log = recorder->take_log(),
      .tokens = ranks.share_of_sequences(config.run.training().batch()).elements() * own.elements(),
      .bytes = arena->peak() + planner->workspace_peak()};
}

Mesh busiest_place(const RunConfig& config, Mesh mesh) {
  mesh.data_rank = mesh.data_size - 1;  // has what remains when sequences are dealt out
  const std::vector<Slice> tokens = tokens_of_ranks(config, mesh);
  const int middle = mesh.sequence_size / 2;
  const auto tokens_of = [&](int rank) { return tokens[static_cast<size_t>(rank)].elements(); };
  mesh.sequence_rank = middle;
  for (int rank = 0; rank < mesh.sequence_size; ++rank) {
    const int64_t more = tokens_of(rank) - tokens_of(mesh.sequence_rank);
    const bool nearer = std::abs(rank - middle) < std::abs(mesh.sequence_rank - middle);
    if (more > 0 || (more == 0 && nearer)) mesh.sequence_rank = rank;
  }
  return mesh;
}

}  // namespace reformer
