// Updates of all parameters from their summed gradients.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "configs/run.pb.h"
#include "kernels/backend.h"
#include "trainer/model/model_spec.h"

namespace reformer {

/// A tensor of the training state on the backend, under the name it has in checkpoints.
struct NamedView {
  std::string name;
  View view;
};

struct UpdateArgs {
  int64_t step = 1;          // from 1
  float rate = 0;            // learning rate of this step
  float gradient_scale = 1;  // gradients are multiplied by it first
  View parameters;           // Float32 [flat_elements]; accumulates
  View gradients;            // gradient [flat_elements]
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  virtual void update(const UpdateArgs& args) = 0;

  /// State that checkpoints keep.
  virtual std::vector<NamedView> state() const = 0;
};

/// Weight decay acts on matrices alone: biases and LayerNorm have none. State lies in `arena`,
/// zero.
std::unique_ptr<Optimizer> make_optimizer(const config::Optimizer& config, const ModelSpec& spec,
                                          Backend& backend, Arena& arena);

}  // namespace reformer
