// Updates of all parameters from their summed gradients. Every rank keeps the state of, and
// updates, what it owns of each gradient bucket.
#pragma once

#include <memory>
#include <vector>

#include "comm/buckets.h"
#include "configs/run.pb.h"
#include "kernels/backend.h"
#include "trainer/model/model_spec.h"
#include "trainer/sharded_tensor.h"

namespace reformer {

struct UpdateArgs {
  int64_t step = 1;          // from 1
  float rate = 0;            // learning rate of this step
  float gradient_scale = 1;  // gradients are multiplied by it first
  View parameters;           // Float32 [flat_elements]; accumulates where this rank owns
  View gradients;            // gradient [flat_elements]; the sums, where this rank owns
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Updates this rank's slice of one bucket.
  virtual void update_bucket(size_t bucket, const UpdateArgs& args) = 0;

  /// State that checkpoints keep.
  virtual std::vector<ShardedTensor> state() const = 0;
};

/// Where an optimizer works: rank `rank` of `buckets`, state in `arena`. All must outlive it.
struct OptimizerPlace {
  const std::vector<Bucket>& buckets;
  int rank = 0;
  Backend& backend;
  Arena& arena;
};

/// Weight decay acts on matrices alone: biases and LayerNorm have none. All state begins as zero.
/// The buckets are those of make_buckets for this kind of optimizer.
std::unique_ptr<Optimizer> make_optimizer(const config::Optimizer& config, const ModelSpec& spec,
                                          const OptimizerPlace& place);

}  // namespace reformer
