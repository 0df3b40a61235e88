#include "trainer/model/attention_block.h"

namespace reformer {

AttentionActivations AttentionBlock::allocate_activations(MemoryUse use) const {
  const int64_t rows = pass_.layout.rows();
  const auto allocate = [&](const Shape& shape) {
    return pass_.arena.allocate(pass_.spec.compute_dtype, shape, use);
  };
  AttentionActivations activations;
  activations.normed = allocate({rows, pass_.spec.width});
  activations.query = allocate({rows, inner()});
  if (!has_shared_query_key(pattern().kind)) activations.key = allocate({rows, inner()});
  activations.value = allocate({rows, inner()});
  activations.out = allocate({rows, inner()});
  activations.lse = pass_.arena.allocate(
      DType::kFloat32, {pass_.layout.samples, pattern().heads, pass_.layout.length}, use);
  return activations;
}

AttentionGradients AttentionBlock::allocate_gradients() const {
  const auto allocate = [&] { return pass_.activation_memory({pass_.layout.rows(), inner()}); };
  AttentionGradients gradients;
  gradients.dout = allocate();
  gradients.dquery = allocate();
  if (!has_shared_query_key(pattern().kind)) gradients.dkey = allocate();
  gradients.dvalue = allocate();
  return gradients;
}

void AttentionBlock::project(const View& x, const AttentionActivations& activations) const {
  Backend& backend = pass_.backend;
  backend.layer_norm({.x = x,
                      .gamma = weights_.norm_gamma,
                      .beta = weights_.norm_beta,
                      .epsilon = pass_.spec.layer_norm_epsilon,
                      .y = activations.normed});
  const auto project = [&](const View& weight, const View& y) {
    backend.linear(
        {.layout = pass_.layout, .x = activations.normed, .weight = weight, .bias = {}, .y = y});
  };
  project(weights_.query, activations.query);
  if (activations.key.defined()) project(weights_.key, activations.key);
  project(weights_.value, activations.value);
}

void AttentionBlock::join_heads(const AttentionActivations& activations, const View& f) const {
  pass_.backend.linear({.layout = pass_.layout,
                        .x = activations.out,
                        .weight = weights_.output,
                        .bias = {},
                        .y = f});
}

void AttentionBlock::join_heads_backward(const AttentionActivations& activations, const View& df,
                                         const AttentionTensors& gradients,
                                         const View& dout) const {
  linear_backward(activations.out, df, weights_.output, gradients.output, dout, false);
}

void AttentionBlock::project_backward(const View& x, const AttentionActivations& activations,
                                      const AttentionGradients& projected, const View& dnormed,
                                      const AttentionTensors& gradients, const View& dx) const {
  const View& normed = activations.normed;
  linear_backward(normed, projected.dquery, weights_.query, gradients.query, dnormed, false);
  if (projected.dkey.defined()) {
    linear_backward(normed, projected.dkey, weights_.key, gradients.key, dnormed, true);
  }
  linear_backward(normed, projected.dvalue, weights_.value, gradients.value, dnormed, true);
  pass_.backend.layer_norm_backward({.layout = pass_.layout,
                                     .x = x,
                                     .gamma = weights_.norm_gamma,
                                     .epsilon = pass_.spec.layer_norm_epsilon,
                                     .dy = dnormed,
                                     .dx = dx,
                                     .accumulate = true,
                                     .dgamma = gradients.norm_gamma,
                                     .dbeta = gradients.norm_beta,
                                     .sum = pass_.leaf_sum(layer_)});
}

void AttentionBlock::linear_backward(const View& input, const View& doutput, const View& weight,
                                     const View& dweight, const View& dinput,
                                     bool accumulate) const {
  pass_.backend.linear_backward_weight({.layout = pass_.layout,
                                        .x = input,
                                        .dy = doutput,
                                        .dweight = dweight,
                                        .dbias = {},
                                        .sum = pass_.leaf_sum(layer_)});
  pass_.backend.linear_backward_input({.layout = pass_.layout,
                                       .dy = doutput,
                                       .weight = weight,
                                       .dx = dinput,
                                       .accumulate = accumulate});
}

}  // namespace reformer
