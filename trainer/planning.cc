#include "trainer/planning.h"

#include "kernels/plan_backend.h"
#include "trainer/evaluation/evaluate.h"
#include "trainer/step.h"

namespace reformer {
namespace {

/// Of one of `groups` groups of ranks, the largest.
int64_t largest_share(int64_t sequences, int groups) {
  return (sequences + groups - 1) / groups;
}

void blank(const TokenRow& row) {
  std::fill(row.tokens.begin(), row.tokens.end(), 0);
  std::fill(row.labels.begin(), row.labels.end(), 0);
}

}  // namespace

std::unique_ptr<Backend> planner_for(const Backend* on) {
  return on != nullptr ? on->make_planner() : make_plan_backend();
}

MemoryPlan plan_of(const Arena& arena, const Backend& planner) {
  return {.arena_bytes = arena.peak(),
          .by_use = arena.usage_at_peak(),
          .workspace_bytes = planner.workspace_peak()};
}

config::Run with_micro_batches(config::Run run, int groups, int64_t micro_batches) {
  const int64_t micro_batch =
      std::min(micro_batch_of(run.training()), largest_share(run.training().batch(), groups));
  int64_t evaluated = evaluation_micro_batch_of(run);
  if (run.evaluation().sequences() > 0) {
    evaluated = std::min(evaluated, largest_share(run.evaluation().sequences(), groups));
  }
  run.mutable_training()->set_micro_batch(micro_batch);
  run.mutable_training()->set_batch(micro_batch * micro_batches * groups);
  run.mutable_evaluation()->set_micro_batch(evaluated);
  return run;
}

BlankDataset::BlankDataset(const config::Run& run, int groups)
    : Dataset(run.data().length()),
      validation_sequences_(run.evaluation().micro_batch() * groups) {}

void BlankDataset::fill_training(int64_t, int64_t, const DataRange&, const TokenRow& row) const {
  blank(row);
}

void BlankDataset::fill_validation(int64_t, const DataRange&, const TokenRow& row) const {
  blank(row);
}

PlannedRank::PlannedRank(const config::Run& run, const ModelSpec& model, const Mesh& place,
                         const Backend* on,
                         const std::function<std::unique_ptr<Backend>(Backend& planner)>& observe,
                         const std::shared_ptr<OperationObserver>& observer)
    : run_(run),
      planner_(planner_for(on)),
      observed_(observe(*planner_)),
      arena_(planner_->make_arena(kEndlessBytes)),
      dataset_(run, place.data_size),
      world_(place.rank(), place.size(), {.observer = observer}),
      ranks_(plan_groups(world_, place, {.observer = observer})),
      state_(run, model, *observed_, *arena_, place.rank(), place.size()),
      guard_(run.training()) {}

void PlannedRank::step() {
  train_step(run_, dataset_, ranks_, state_, guard_, 1);
}

void PlannedRank::evaluate() {
  reformer::evaluate(run_, dataset_, ranks_, state_);
}

}  // namespace reformer
