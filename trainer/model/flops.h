// Nominal arithmetic of a model, for the reported FLOP rate.
#pragma once

#include "trainer/model/model_spec.h"

namespace reformer {

/// Floating-point operations of the forward pass per token of a sequence of `length` tokens, a
/// multiply-add counted as two. Matrix products and visible query-key pairs (visible_keys) only:
/// hashing, sorting, softmax and LayerNorm count nothing.
double forward_flops_per_token(const ModelSpec& spec, int64_t length);

/// Of a training step, per token: forward, recomputation and twice the forward for the backward
/// pass.
inline double step_flops_per_token(const ModelSpec& spec, int64_t length) {
  return 4 * forward_flops_per_token(spec, length);
}

}  // namespace reformer
