// Adding one Float32 partial to a gradient: the inner step of every gradient sum (GradientSum).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/op_checks.h"

namespace reformer::cpu {

/// gradient[offset + i] += partial[i], i < partial.size(). With an Int64 gradient the term is that
/// of sum_term (fixed_point.h), bit by bit, and each term out of range adds 1 to
/// sum.faults[kSumOverflowed]; with a Float32 gradient it is the partial itself.
/// Threads may call this at the same time for disjoint elements of one gradient.
void add_partial(std::span<const float> partial, const View& gradient, int64_t offset,
                 const GradientSum& sum);

}  // namespace reformer::cpu
