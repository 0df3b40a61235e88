// A step of one rank, run against a backend that computes nothing, an arena that only counts, and
// ranks that are not there: what it takes is known before any of it is taken.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "comm/mesh.h"
#include "comm/traffic.h"
#include "kernels/op_cost.h"
#include "trainer/memory_plan.h"

namespace reformer {

/// By the name of the op; see observed_backend.h.
using OpCosts = std::map<std::string, OpCost, std::less<>>;

/// Of a batch, how many a rank at this place has tokens of.
int64_t sequences_of(const Mesh& place, int64_t batch);

struct PlannedStep {
  int64_t sequences = 0;      // of which the rank has tokens
  MemoryPlan memory{};        // of the step, and of an evaluation after it
  Traffic::ByPurpose sent{};  // in the step
  OpCosts ops{};              // in the step

  /// Of products of matrices, in the step.
  double flops() const;
};

/// Of the rank at this place of the mesh, computing on a backend like `on`; null: on the CPU. What
/// it sends and computes is what it does with its whole share of the batch.
PlannedStep plan_step(const RunConfig& config, const Mesh& place, const Backend* on = nullptr);

/// The same of a step of so many micro-batches, as large as the run has them. The memory is that of
/// the run; a little more where the groups of ranks do not divide the batch, and others have more
/// sequences.
PlannedStep plan_micro_batches(const RunConfig& config, int64_t micro_batches, const Mesh& place,
                               const Backend* on = nullptr);

}  // namespace reformer
