#include "trainer/replay/planned_log.h"

#include <cstdlib>
#include <memory>

#include "trainer/derive_mesh.h"
#include "trainer/planning.h"
#include "trainer/replay/step_recorder.h"

namespace reformer {

PlannedLog plan_log(const RunConfig& config, const Mesh& place, const Backend& on) {
  const auto recorder = std::make_shared<StepRecorder>();
  PlannedRank rank(
      config.run, config.model, place, &on,
      [&](Backend& planner) { return recorder->record(planner); }, recorder);
  recorder->follow(rank.ranks());
  recorder->take_log();  // what the state began with
  rank.step();
  const Slice own = tokens_of_ranks(config, place)[static_cast<size_t>(place.sequence_rank)];
  const int64_t sequences =
      rank.ranks().share_of_sequences(config.run.training().batch()).elements();
  const MemoryPlan memory = rank.memory();
  return {.log = recorder->take_log(),
          .tokens = sequences * own.elements(),
          .bytes = memory.arena_bytes + memory.workspace_bytes};
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
