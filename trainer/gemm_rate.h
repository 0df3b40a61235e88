// How fast this machine multiplies matrices, to put the model's FLOP rate in proportion.
#pragma once

#include "kernels/backend.h"

namespace reformer {

/// Best rate of several matrix products on token tiles, in FLOP/s, measured for about a quarter of
/// a second. Rates vary on shared machines: measure again rather than compare with an old number.
double measure_gemm_rate(Backend& backend);

}  // namespace reformer
