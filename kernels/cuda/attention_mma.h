// Attention of BFloat16 activations on tensor cores, for the head widths that these kernels are
// built for. The contract is that of kernels/backend.h; kernels/cuda/README.md says how it is done.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/runtime.h"

namespace reformer::cuda {

/// Whether those below can do it: BFloat16, a head_dim of 32, 64 or 128, and with
/// correct_duplicates no more rounds than shared memory holds the slots of. Does not depend on the
/// device.
bool attention_mma_supports(const AttentionPattern& pattern, DType activation);

/// REQUIRES of all: attention_mma_supports, and shapes that the op has checked.
void attention_mma(Runtime& runtime, const AttentionArgs& args);
void attention_mma_backward(Runtime& runtime, const AttentionBackwardArgs& args);
void attention_part_mma(Runtime& runtime, const AttentionPartArgs& args);
void attention_part_mma_backward(Runtime& runtime, const AttentionPartBackwardArgs& args);

}  // namespace reformer::cuda
