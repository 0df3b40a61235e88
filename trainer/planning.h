// What planning has in place of the real things: a backend that computes nothing, data without
// content, a run that is no longer than it has to be.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "comm/plan.h"
#include "comm/rank_groups.h"
#include "configs/run.pb.h"
#include "kernels/backend.h"
#include "trainer/data/dataset.h"
#include "trainer/memory_plan.h"
#include "trainer/skip_guard.h"
#include "trainer/training_state.h"

namespace reformer {

/// Of an arena that only counts.
inline constexpr size_t kEndlessBytes = std::numeric_limits<size_t>::max() / 2;

/// The planner of `on`; null: of the CPU's backend.
std::unique_ptr<Backend> planner_for(const Backend* on);

/// What has been taken of both.
MemoryPlan plan_of(const Arena& arena, const Backend& planner);

/// `run` with as many micro-batches in a step for each of `groups` groups of ranks, as large as it
/// allows, but no larger than the share of a group.
config::Run with_micro_batches(config::Run run, int groups, int64_t micro_batches);

/// Batches of the right shape with nothing in them.
class BlankDataset final : public Dataset {
 public:
  /// With a micro-batch to evaluate for each of `groups` groups of ranks.
  BlankDataset(const config::Run& run, int groups);

  int64_t validation_sequences() const override { return validation_sequences_; }
  std::string description() const override { return "blank"; }

 private:
  void fill_training(int64_t, int64_t, const DataRange&, const TokenRow& row) const override;
  void fill_validation(int64_t, const DataRange&, const TokenRow& row) const override;

  int64_t validation_sequences_;
};

/// One rank of a run, on a backend that computes nothing and among ranks that are not there.
class PlannedRank {
 public:
  /// `observe` may wrap the planner of `on` (null: of the CPU's backend) for the rank's ops;
  /// `observer` is shown its operations. `run` and `model` must outlive it.
  PlannedRank(const config::Run& run, const ModelSpec& model, const Mesh& place, const Backend* on,
              const std::function<std::unique_ptr<Backend>(Backend& planner)>& observe,
              const std::shared_ptr<OperationObserver>& observer);

  const RankGroups& ranks() const { return ranks_; }

  void step();
  void evaluate();

  /// What has been taken.
  MemoryPlan memory() const { return plan_of(*arena_, *planner_); }

 private:
  const config::Run& run_;
  const std::unique_ptr<Backend> planner_;
  const std::unique_ptr<Backend> observed_;
  const std::unique_ptr<Arena> arena_;
  const BlankDataset dataset_;
  PlanCommunicator world_;
  const RankGroups ranks_;
  TrainingState state_;
  SkipGuard guard_;
};

}  // namespace reformer
