// Everything a run keeps on the backend between steps, and nothing else.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "configs/run.pb.h"
#include "kernels/backend.h"
#include "trainer/model/model_spec.h"
#include "trainer/model/reformer.h"
#include "trainer/optimizer.h"

namespace reformer {

/// A tensor under the name that it has in checkpoints.
struct NamedView {
  std::string name;
  View view;
};

class TrainingState {
 public:
  /// Allocates, in `arena`, all parameters and gradients, and the optimizer state of what rank
  /// `rank` of `ranks` owns. The parameters are undefined until they are initialised or loaded.
  /// `backend` and `arena` must outlive the state.
  TrainingState(const config::Run& run, const ModelSpec& spec, Backend& backend, Arena& arena,
                int rank = 0, int ranks = 1);

  void initialize_parameters(uint64_t seed) const;

  /// A copy of host tokens in block memory of the arena.
  View upload_tokens(const Tensor& tokens) const;

  /// The layout of `samples` whole sequences of `length` tokens, from `first_sample` on.
  TokenLayout layout_of(int64_t first_sample, int64_t samples, int64_t length) const;

  /// Parameters, tensor by tensor, without alignment gaps. Every rank has them whole.
  std::vector<NamedView> parameter_views() const;

  /// What this rank owns of the gradients: its slice of each bucket.
  std::vector<Slice> own_slices() const;

  const ModelSpec spec;
  Backend& backend;
  Arena& arena;
  const int rank;
  const std::vector<Bucket> buckets;  // in the order of the backward pass

  const View parameters;  // Float32 [flat_elements]
  const View gradients;   // Int64 or Float32 [flat_elements]
  const View tallies;     // Int64, all of the following, which are summed over ranks
  const View loss;        // Int64 [1]; see CrossEntropyArgs
  const View correct;     // Int64 [1]
  const View squares;     // Int64 [WideSum::kWords]; see SumOfSquaresArgs
  const View faults;      // Int64 [layers + 2, kFaultKinds]; see Pass
  const Reformer model;
  const std::unique_ptr<Optimizer> optimizer;
};

}  // namespace reformer
