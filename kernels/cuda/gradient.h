// Gradients of parameters as sums over leaves (GradientSum): one Float32 partial per leaf, and how
// partials are added to an Int64 or Float32 gradient.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {

class Runtime;

/// Rows of a leaf that are added up one after the other, from the leaf's first row on. The sums of
/// such blocks are added in their order.
inline constexpr int64_t kBlockRows = 64;

/// Partials of `count` leaves that follow each other.
struct LeafPartials {
  const float* values = nullptr;  // [count, blocks, n]
  int64_t count = 0;
  /// Blocks that a leaf has room for; it has no more of them than its rows fill. With 1, values are
  /// those of whole leaves, and `leaves` does not matter.
  int64_t blocks = 1;
  Leaves leaves;
};

/// gradient[i] += partials, i < n = gradient.elements(). With an Int64 gradient each leaf gives the
/// term of sum_term (fixed_point.h), bit by bit, and each term out of range adds 1 to
/// sum.faults[kSumOverflowed]; a Float32 gradient is added to in the order of the leaves.
void add_partials(Runtime& runtime, const LeafPartials& partials, const View& gradient,
                  const GradientSum& sum);

/// gradient[i] += Σ rows[·, i] by leaves; `rows` is an activation [layout.rows(), n].
void add_column_sums(Runtime& runtime, const TokenLayout& layout, const View& rows,
                     const View& gradient, const GradientSum& sum);

}  // namespace reformer::cuda
