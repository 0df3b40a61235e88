// What the ops on [rows, width] activations share on the host and on the device: where leaves lie
// among the rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/op_checks.h"
#include "kernels/token_layout.h"

namespace reformer::cuda {

/// The leaves of a layout, or the parts of them that it holds, numbered in the order of their rows.
struct Leaves {
  explicit Leaves(const TokenLayout& layout)
      : length(layout.length),
        leaf(layout.leaf),
        offset(layout.first_position % layout.leaf),
        per_sample(length == 0 ? 0 : (offset + length + leaf - 1) / leaf),
        count(layout.samples * per_sample) {}

  /// Rows [begin, end) of leaf `index`.
  constexpr int64_t begin(int64_t index) const {
    const int64_t token = index % per_sample * leaf - offset;
    return index / per_sample * length + (token > 0 ? token : 0);
  }
  constexpr int64_t end(int64_t index) const {
    const int64_t token = (index % per_sample + 1) * leaf - offset;
    return index / per_sample * length + (token < length ? token : length);
  }

  /// The most rows that one of them has.
  int64_t most_rows() const { return std::min(leaf, length); }

  int64_t length;      // tokens of a sample
  int64_t leaf;        // tokens of a whole leaf
  int64_t offset;      // of token 0 in its leaf
  int64_t per_sample;  // leaves of a sample
  int64_t count;
};

}  // namespace reformer::cuda
