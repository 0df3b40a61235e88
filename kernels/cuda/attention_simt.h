// Attention without tensor cores: every pattern and shape, Float32 and BFloat16, arithmetic in
// Float32. The contract is that of kernels/backend.h.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/runtime.h"

namespace reformer::cuda {

/// REQUIRES: shapes that attention() has checked.
void attention_simt(Runtime& runtime, const AttentionArgs& args);

/// REQUIRES: shapes that attention_backward() has checked.
void attention_simt_backward(Runtime& runtime, const AttentionBackwardArgs& args);

}  // namespace reformer::cuda
