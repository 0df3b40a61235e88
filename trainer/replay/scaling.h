// How the time of a step changes with the number of ranks: predictions, one replay for each number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "kernels/backend.h"
#include "trainer/config/config.h"
#include "trainer/replay/replay.h"

namespace reformer {

inline constexpr int kMostScalingRanks = 512;

enum class Scaling {
  kStrong,  // the batch of the run, whatever the number of ranks
  kWeak,    // as many sequences as ranks
};

struct ScalingPoint {
  int ranks = 1;
  Mesh place{};  // of the rank that was replayed (busiest_place)
  int64_t tokens = 0;
  size_t bytes = 0;  // as in PlannedLog
  StepTime time{};
  double efficiency = 0;  // tokens per second and rank, as a share of those of one rank
  std::string refusal{};  // why so many ranks cannot share the work; all else is 0 then
};

/// For 1, 2, 4, … ranks, up to kMostScalingRanks or to what is one node where the machine is no
/// more. The mesh is derived as for a run (derive_mesh.h).
std::vector<ScalingPoint> predict_scaling(const RunConfig& config, Scaling scaling,
                                          const replay::Machine& machine, const Backend& on);

/// A line for each point, with a head.
std::string scaling_table(const std::vector<ScalingPoint>& points, const replay::Machine& machine);

}  // namespace reformer
