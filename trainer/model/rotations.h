// The random rotations that hash queries to buckets (paper, section 2).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/core/view.h"
#include "trainer/model/model_spec.h"

namespace reformer {

/// For each layer that hashes, Gaussian entries [H, D, R · Σ n_f / 2] on the host, as LshHashArgs
/// wants them; an empty tensor for the others. Each entry is a pure function of (seed, step, layer,
/// head, round, row, column).
std::vector<Tensor> make_rotations(const ModelSpec& spec, uint64_t seed, int64_t step);

}  // namespace reformer
