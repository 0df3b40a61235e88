#include "trainer/model/attention_block.h"

#include "kernels/lsh_layout.h"

namespace reformer {

Slots AttentionBlock::allocate_slots() const {
  if (!is_hashed(pattern().kind)) return {};
  const int64_t samples = pass_.layout.samples;
  const int64_t buckets = bucket_count(pass_.spec.layers[static_cast<size_t>(layer_)].buckets);
  const auto allocate = [&](int64_t extent) {
    return pass_.arena.allocate(DType::kInt32, {samples, pattern().heads, pattern().rounds, extent},
                                MemoryUse::kSlots);
  };
  Slots slots;
  slots.order = allocate(pass_.layout.length);
  slots.bucket_begin = allocate(buckets + 2);
  return slots;
}

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

View AttentionBlock::upload_rotations() const {
  const View host = pass_.rotations[static_cast<size_t>(layer_)].view();
  const View rotations = pass_.block_memory(host.shape());
  pass_.backend.upload(host.raw(), rotations);
  return rotations;
}

void AttentionBlock::hash(const AttentionActivations& activations, const View& rotations,
                          const View& bucket_of) const {
  pass_.backend.lsh_hash({.layout = pass_.layout,
                          .heads = pattern().heads,
                          .rounds = pattern().rounds,
                          .buckets = pass_.spec.layers[static_cast<size_t>(layer_)].buckets,
                          .query_key = activations.query,
                          .rotations = rotations,
                          .mask = pass_.mask,
                          .bucket_of = bucket_of});
}

void AttentionBlock::hash_and_sort(const AttentionActivations& activations,
                                   const Slots& slots) const {
  if (!is_hashed(pattern().kind)) return;
  Arena::Mark mark(pass_.arena);
  const View bucket_of =
      pass_.arena.allocate(DType::kInt32, slots.order.shape(), MemoryUse::kBlock);
  hash(activations, upload_rotations(), bucket_of);
  pass_.backend.bucket_sort(
      {.num_buckets = bucket_count(pass_.spec.layers[static_cast<size_t>(layer_)].buckets),
       .bucket_of = bucket_of,
       .order = slots.order,
       .bucket_begin = slots.bucket_begin});
}

AttentionArgs AttentionBlock::attention_args(const AttentionActivations& activations,
                                             const Slots& slots) const {
  return {.layout = pass_.layout,
          .pattern = pattern(),
          .dropout = pass_.dropout(layer_, DropoutSite::kAttentionWeights),
          .query = activations.query,
          .key = activations.key,
          .value = activations.value,
          .order = slots.order,
          .bucket_begin = slots.bucket_begin,
          .mask = pass_.mask,
          .out = activations.out,
          .lse = activations.lse};
}

void AttentionBlock::attend(const AttentionActivations& activations, const Slots& slots,
                            const View& f) const {
  pass_.backend.attention(attention_args(activations, slots));
  join_heads(activations, f);
}

void AttentionBlock::join_heads(const AttentionActivations& activations, const View& f) const {
  pass_.backend.linear({.layout = pass_.layout,
                        .x = activations.out,
                        .weight = weights_.output,
                        .bias = {},
                        .y = f});
}

void AttentionBlock::backward(const View& x, const AttentionActivations& activations,
                              const Slots& slots, const View& df, const AttentionTensors& gradients,
                              const View& dx) const {
  Backend& backend = pass_.backend;
  Arena::Mark mark(pass_.arena);
  const int64_t rows = pass_.layout.rows();

  const View dout = pass_.activation_memory({rows, inner()});
  project_backward(activations.out, df, weights_.output, gradients.output, dout, false);

  const View dquery = pass_.activation_memory({rows, inner()});
  const View dkey = activations.key.defined() ? pass_.activation_memory({rows, inner()}) : View();
  const View dvalue = pass_.activation_memory({rows, inner()});
  backend.attention_backward({.forward = attention_args(activations, slots),
                              .dout = dout,
                              .dquery = dquery,
                              .dkey = dkey,
                              .dvalue = dvalue});

  const View& dnormed = df;  // df has been used up
  const View& normed = activations.normed;
  project_backward(normed, dquery, weights_.query, gradients.query, dnormed, false);
  if (dkey.defined()) {
    project_backward(normed, dkey, weights_.key, gradients.key, dnormed, true);
  }
  project_backward(normed, dvalue, weights_.value, gradients.value, dnormed, true);
  backend.layer_norm_backward({.layout = pass_.layout,
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

void AttentionBlock::project_backward(const View& input, const View& dprojected, const View& weight,
                                      const View& dweight, const View& dinput,
                                      bool accumulate) const {
  pass_.backend.linear_backward_weight({.layout = pass_.layout,
                                        .x = input,
                                        .dy = dprojected,
                                        .dweight = dweight,
                                        .dbias = {},
                                        .sum = pass_.leaf_sum(layer_)});
  pass_.backend.linear_backward_input({.layout = pass_.layout,
                                       .dy = dprojected,
                                       .weight = weight,
                                       .dx = dinput,
                                       .accumulate = accumulate});
}

}  // namespace reformer
