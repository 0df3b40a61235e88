// Everything a run keeps on the backend between steps, and nothing else.
#pragma once

#include <memory>
#include <vector>

#include "configs/run.pb.h"
#include "trainer/model_state.h"
#include "trainer/optimizer.h"

namespace reformer {

struct TrainingState : ModelState {
  /// Allocates, in `arena`, the model (every rank has it whole), all gradients, and the optimizer
  /// state of what rank `rank` of `ranks` owns.
  TrainingState(const config::Run& run, const ModelSpec& spec, Backend& backend, Arena& arena,
                int rank = 0, int ranks = 1);

  /// What this rank owns of the gradients: its slice of each bucket.
  std::vector<Slice> own_slices() const;

  const int rank;
  const std::vector<Bucket> buckets;  // in the order of the backward pass
  const View gradients;               // Int64 or Float32 [flat_elements]
  const std::unique_ptr<Optimizer> optimizer;
};

}  // namespace reformer
