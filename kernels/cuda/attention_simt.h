// Attention without tensor cores: every pattern and shape, Float32 and BFloat16, arithmetic in
// Float32. The contract is that of kernels/backend.h.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/runtime.h"

namespace reformer::cuda {

/// REQUIRES of all: shapes that the op has checked.
void attention_simt(Runtime& runtime, const AttentionArgs& args);
void attention_simt_backward(Runtime& runtime, const AttentionBackwardArgs& args);
void attention_part_simt(Runtime& runtime, const AttentionPartArgs& args);
void attention_part_simt_backward(Runtime& runtime, const AttentionPartBackwardArgs& args);

}  // namespace reformer::cuda
