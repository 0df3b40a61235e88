// Sums of terms that lie in host memory, one term for each rank.
#pragma once

#include <span>

#include "kernels/core/view.h"

namespace reformer {

/// terms[0] += terms[1], then += terms[2], …: in rank order. All have the same dtype (Int64, which
/// wraps around, Float32 or Float64) and count.
void add_in_order(std::span<const View> terms);

}  // namespace reformer
