// What a run takes on many ranks, before any of it is taken: memory, network, arithmetic.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "trainer/planned_step.h"

namespace reformer {

/// Bytes on the host besides the arena.
struct HostMemory {
  size_t batch = 0;       // tokens and labels of a step
  size_t rotations = 0;   // of all hashed layers
  size_t routes = 0;      // who sends which tokens where, in a layer whose buckets are shared
  size_t checkpoint = 0;  // the largest tensor; they are copied one after the other

  /// Checkpoints are made between steps.
  size_t peak() const { return std::max(batch + rotations + routes, checkpoint); }
};

struct RankPlan {
  Mesh place;
  PlannedStep step;
  HostMemory host;

  /// Arena and workspace, and what the host has besides where they are host memory too.
  size_t bytes(const Backend& on) const;
};

struct RunPlan {
  // Of rank 0, which makes the checkpoints, and of the rank whose arena is the largest; once where
  // they are the same.
  std::vector<RankPlan> ranks;

  /// RankPlan::bytes() of the rank that takes most.
  size_t bytes(const Backend& on) const;
};

/// Of `ranks` ranks that compute on backends like `on`, in seconds and without the memory. Throws
/// ConfigError where so many ranks cannot share the work.
RunPlan plan_run(const RunConfig& config, int ranks, const Backend& on);

/// RunPlan::bytes() alone, which is known sooner.
size_t plan_bytes(const RunConfig& config, int ranks, const Backend& on);

}  // namespace reformer
