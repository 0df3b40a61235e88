// Gradients by central differences.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/core/view.h"

namespace reformer {

/// Changes `values` along a random direction around `gradient`, both ways, and returns the slope of
/// `loss` divided by the one that `gradient` promises: 1 if it is right, up to rounding and
/// curvature. The direction is the gradient itself plus noise in every element, so that none is
/// exempt. `values`, Float32 on the host, are as before afterwards. REQUIRES: gradient is not zero.
double slope_ratio(const View& values, const std::vector<double>& gradient, uint64_t seed,
                   const std::function<double()>& loss);

}  // namespace reformer
