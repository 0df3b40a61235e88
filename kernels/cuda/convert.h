// Float32 values rounded to BFloat16 for the tensor cores.
#pragma once

#include "kernels/core/view.h"

namespace reformer::cuda {

class Runtime;

/// `view` itself if it is BFloat16, else its elements rounded to nearest even, in the runtime's
/// workspace. REQUIRES: Float32 or BFloat16.
View as_bfloat16(Runtime& runtime, const View& view);

}  // namespace reformer::cuda
