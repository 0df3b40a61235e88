// The log of a step that nobody runs, on any number of ranks that are not there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/mesh.h"
#include "kernels/backend.h"
#include "trainer/config/config.h"
#include "trainer/replay/step_log.h"

namespace reformer {

struct PlannedLog {
  StepLog log{};
  int64_t tokens = 0;  // of the rank, in one step
  size_t bytes = 0;    // of memory that the rank takes for it: arena, and workspace of the ops
};

/// Of the rank at this place of the mesh, on backends like `on`. Its events are those of a real
/// step, but for what depends on the hash (README.md).
PlannedLog plan_log(const RunConfig& config, const Mesh& place, const Backend& on);

/// The place in `mesh` of a rank that has most to do: as many sequences and tokens as any, and
/// neighbours on both sides where it shares sequences.
Mesh busiest_place(const RunConfig& config, Mesh mesh);

}  // namespace reformer
