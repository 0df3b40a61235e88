// Numbers of tokens and heads that attention starts from, in the workspace and where
// AttentionFrame::numbers says. Each is taken by the kernel of head_products, so it has the same
// bits wherever the token is.
#pragma once

#include "kernels/cuda/attention_frame.h"
#include "kernels/cuda/runtime.h"

namespace reformer::cuda {

/// ‖k‖. REQUIRES: queries are the keys.
View make_key_lengths(Runtime& runtime, const AttentionFrame& frame);

/// What a product with the key is multiplied by to be a score: 1 / ‖k‖ (0 for a key without
/// direction), or 1 / √D if kLocal.
View make_key_scales(Runtime& runtime, const AttentionFrame& frame);

/// [B, H, T]: dout·out.
View make_deltas(Runtime& runtime, const AttentionBackwardArgs& args);

}  // namespace reformer::cuda
