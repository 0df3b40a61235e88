// The random rotations that hash queries to buckets (paper, section 2).
#pragma once

#include <cstdint>

#include "kernels/core/view.h"
#include "trainer/model/model_spec.h"

namespace reformer {

/// Gaussian entries [H, D, R · Σ n_f / 2] on the host, as LshHashArgs wants them. Each entry is a
/// pure function of (seed, step, layer, head, round, row, column). REQUIRES: a hashed layer.
Tensor make_rotations(const LayerSpec& layer, int layer_index, uint64_t seed, int64_t step);

}  // namespace reformer
