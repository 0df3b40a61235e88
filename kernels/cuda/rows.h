// What the ops on [rows, width] activations share on the host and on the device: the checks of
// their views, and where leaves lie among the rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/core/check.h"
#include "kernels/core/view.h"
#include "kernels/token_layout.h"

namespace reformer::cuda {

inline void check_view(const View& view, DType dtype, const Shape& shape) {
  CHECK_EQ(view.dtype(), dtype);
  CHECK_EQ(view.shape(), shape);
}

/// Float32 or BFloat16.
inline void check_activation(const View& view, const Shape& shape) {
  CHECK(view.dtype() == DType::kFloat32 || view.dtype() == DType::kBFloat16);
  CHECK_EQ(view.shape(), shape);
}

/// A residual stream: Float32 or Fixed32.
inline void check_stream(const View& view, const Shape& shape) {
  CHECK(view.dtype() == DType::kFloat32 || view.dtype() == DType::kFixed32);
  CHECK_EQ(view.shape(), shape);
}

inline void check_layout(const TokenLayout& layout) {
  CHECK_GE(layout.tile, 1);
  CHECK_GE(layout.leaf, 1);
  CHECK_EQ(layout.leaf % layout.tile, 0);
  CHECK_EQ(layout.first_position % layout.tile, 0);
}

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
