// A model on the backend: its parameters, and where a pass over it adds up.
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"
#include "trainer/data/data_range.h"
#include "trainer/model/model_spec.h"
#include "trainer/model/reformer.h"

namespace reformer {

/// A tensor under the name that it has in checkpoints.
struct NamedView {
  std::string name;
  View view;
};

struct ModelState {
  /// Allocates everything in `arena`. The parameters are undefined until they are initialised or
  /// loaded. `backend` and `arena` must outlive the state.
  ModelState(const ModelSpec& spec, Backend& backend, Arena& arena);

  void initialize_parameters(uint64_t seed) const;

  /// A copy of host tokens in block memory of the arena.
  View upload_tokens(const Tensor& tokens) const;

  /// The layout of `positions` of `samples` sequences, from `first_sample` on.
  TokenLayout layout_of(int64_t first_sample, int64_t samples, const DataRange& positions) const;

  /// Parameters, tensor by tensor, without alignment gaps.
  std::vector<NamedView> parameter_views() const;

  const ModelSpec spec;
  Backend& backend;
  Arena& arena;

  const View parameters;  // Float32 [flat_elements]
  const View tallies;     // Int64, all of the following, which are summed over ranks
  const View loss;        // Int64 [1]; see CrossEntropyArgs
  const View correct;     // Int64 [1]
  const View squares;     // Int64 [WideSum::kWords]; see SumOfSquaresArgs
  const View faults;      // Int64 [layers + 2, kFaultKinds]; see Pass
  const Reformer model;
};

}  // namespace reformer
