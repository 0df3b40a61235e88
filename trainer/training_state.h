// Everything a run keeps on the backend between steps, and nothing else.
#pragma once

#include <memory>
#include <vector>

#include "configs/run.pb.h"
#include "kernels/backend.h"
#include "trainer/model/model_spec.h"
#include "trainer/model/reformer.h"
#include "trainer/optimizer.h"

namespace reformer {

class TrainingState {
 public:
  /// Allocates parameters, gradients and optimizer state in `arena`. The parameters are undefined
  /// until they are initialised or loaded. `backend` and `arena` must outlive the state.
  TrainingState(const config::Run& run, const ModelSpec& spec, Backend& backend, Arena& arena);

  void initialize_parameters(uint64_t seed) const;

  /// A copy of host tokens in block memory of the arena.
  View upload_tokens(const Tensor& tokens) const;

  /// The layout of `samples` whole sequences of `length` tokens, from `first_sample` on.
  TokenLayout layout_of(int64_t first_sample, int64_t samples, int64_t length) const;

  /// Parameters and optimizer state, tensor by tensor, without alignment gaps.
  std::vector<NamedView> tensors() const;

  const ModelSpec spec;
  Backend& backend;
  Arena& arena;

  const View parameters;   // Float32 [flat_elements]
  const View gradients;    // Int64 or Float32 [flat_elements]
  const View loss;         // Int64 [1], sums of one step; see CrossEntropyArgs
  const View correct;      // Int64 [1]
  const View faults;       // Int64 [layers + 2, kFaultKinds]; see Pass
  const View norm_blocks;  // Float64; see SumOfSquaresArgs
  const Reformer model;
  const std::unique_ptr<Optimizer> optimizer;
};

}  // namespace reformer
