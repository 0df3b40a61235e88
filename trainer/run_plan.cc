#include "trainer/run_plan.h"

#include <memory>

#include "kernels/lsh_layout.h"
#include "trainer/derive_mesh.h"
#include "trainer/gradient_buckets.h"
#include "trainer/model/parameters.h"
#include "trainer/planning.h"
#include "trainer/step.h"
#include "trainer/training_state.h"

namespace reformer {
namespace {

/// What a rank owns and others do not.
size_t bytes_owned(const RunConfig& config, const std::vector<Bucket>& buckets, int rank,
                   Backend& planner) {
  const std::unique_ptr<Arena> arena = planner.make_arena(kEndlessBytes);
  const OptimizerPlace place{.buckets = buckets, .rank = rank, .backend = planner, .arena = *arena};
  make_optimizer(config.run.optimizer(), config.model, place);
  return arena->used();
}

/// For each place in a sequence, of the ranks that have it, the one that owns most.
std::vector<Mesh> places_to_plan(const RunConfig& config, const Mesh& mesh, const Backend& on) {
  const std::unique_ptr<Backend> planner = planner_for(&on);
  const std::vector<Bucket> buckets =
      make_buckets(config.model, config.run.optimizer().kind(), mesh.size());
  std::vector<Mesh> places;
  for (int sequence_rank = 0; sequence_rank < mesh.sequence_size; ++sequence_rank) {
    Mesh place = mesh;
    place.sequence_rank = sequence_rank;
    size_t most = 0;
    int owner = 0;
    for (place.data_rank = 0; place.data_rank < mesh.data_size; ++place.data_rank) {
      const size_t owned = bytes_owned(config, buckets, place.rank(), *planner);
      if (owned > most) owner = place.data_rank;
      most = std::max(most, owned);
    }
    place.data_rank = owner;
    places.push_back(place);
  }
  return places;
}

/// The tokens of the ranks from `first` to `last` of a sequence.
int64_t tokens_of(const RunConfig& config, const Mesh& mesh, int first, int last) {
  const std::vector<Slice> tokens = tokens_of_ranks(config, mesh);
  return tokens[static_cast<size_t>(last)].end - tokens[static_cast<size_t>(first)].begin;
}

size_t bytes_of_batch(const RunConfig& config, const Mesh& place, int64_t sequences) {
  const int64_t own = tokens_of(config, place, place.sequence_rank, place.sequence_rank);
  return static_cast<size_t>(2 * sequences * own) * size_of(DType::kInt32);
}

size_t bytes_of_rotations(const ModelSpec& spec) {
  size_t bytes = 0;
  for (const LayerSpec& layer : spec.layers) {
    const AttentionPattern& pattern = layer.attention;
    if (!is_hashed(pattern.kind)) continue;
    bytes += static_cast<size_t>(pattern.heads * pattern.head_dim * pattern.rounds *
                                 rotation_columns(layer.buckets)) *
             size_of(DType::kFloat32);
  }
  return bytes;
}

/// About: the slots of every token, and the tokens that leave, hardly more than once a round.
size_t bytes_of_routes(const RunConfig& config, const Mesh& place, int64_t samples) {
  if (place.bucket_size() == 1) return 0;
  // Those of all ranks that share heads come together.
  const int first = place.bucket_rank() * place.head_size;
  const int64_t tokens = tokens_of(config, place, first, first + place.head_size - 1);
  int64_t most = 0;
  for (const LayerSpec& layer : config.model.layers) {
    const AttentionPattern& pattern = layer.attention;
    if (!is_hashed(pattern.kind)) continue;
    const int64_t heads = share_of(pattern.heads, place.head_rank(), place.head_size).elements();
    most = std::max(most, samples * heads * pattern.rounds * tokens);
  }
  return static_cast<size_t>(2 * most) * size_of(DType::kInt32);
}

/// A rank copies what it owns of a tensor of the optimizer; rank 0 has all of it, and the
/// parameters.
size_t largest_copy(const RunConfig& config, const Mesh& place, const Backend& on) {
  const std::unique_ptr<Backend> planner = planner_for(&on);
  const std::unique_ptr<Arena> arena = planner->make_arena(kEndlessBytes);
  const TrainingState state(config.run, config.model, *planner, *arena, place.rank(), place.size());
  size_t largest = 0;
  for (const ShardedTensor& tensor : state.optimizer->state()) {
    largest = std::max(largest, place.rank() == 0 ? tensor.bytes() : tensor.part.bytes());
  }
  if (place.rank() != 0) return largest;
  for (const NamedView& tensor : state.parameter_views()) {
    largest = std::max(largest, tensor.view.bytes());
  }
  return largest;
}

RankPlan plan_rank(const RunConfig& config, const Mesh& place, PlannedStep step,
                   const Backend& on) {
  const int64_t sequences = sequences_of(place, config.run.training().batch());
  const int64_t held = std::min(sequences, micro_batch_of(config.run.training()));
  return {.place = place,
          .step = std::move(step),
          .host = {.batch = bytes_of_batch(config, place, sequences),
                   .rotations = bytes_of_rotations(config.model),
                   .routes = bytes_of_routes(config, place, held),
                   .checkpoint = largest_copy(config, place, on)}};
}

Mesh largest_place(const RunConfig& config, const Mesh& mesh, const Backend& on) {
  Mesh largest = mesh;
  size_t most = 0;
  for (const Mesh& place : places_to_plan(config, mesh, on)) {
    const MemoryPlan memory = plan_training(config, place, &on);
    if (memory.arena_bytes > most) largest = place;
    most = std::max(most, memory.arena_bytes);
  }
  return largest;
}

/// Rank 0, and the one that takes most if that is another.
std::vector<Mesh> places_to_report(const RunConfig& config, int ranks, const Backend& on) {
  const Mesh first = derive_mesh(config, on, 0, ranks);
  const Mesh largest = largest_place(config, first, on);
  if (largest == first) return {first};
  return {first, largest};
}

}  // namespace

size_t RankPlan::bytes(const Backend& on) const {
  const size_t taken = step.memory.arena_bytes + step.memory.workspace_bytes;
  return on.free_device_memory() ? taken : taken + host.peak();
}

size_t RunPlan::bytes(const Backend& on) const {
  size_t most = 0;
  for (const RankPlan& rank : ranks) most = std::max(most, rank.bytes(on));
  return most;
}

RunPlan plan_run(const RunConfig& config, int ranks, const Backend& on) {
  RunPlan plan;
  for (const Mesh& place : places_to_report(config, ranks, on)) {
    plan.ranks.push_back(plan_rank(config, place, plan_step(config, place, &on), on));
  }
  return plan;
}

size_t plan_bytes(const RunConfig& config, int ranks, const Backend& on) {
  RunPlan plan;
  for (const Mesh& place : places_to_report(config, ranks, on)) {
    const PlannedStep step{.memory = plan_training(config, place, &on)};
    plan.ranks.push_back(plan_rank(config, place, step, on));
  }
  return plan.bytes(on);
}

}  // namespace reformer
