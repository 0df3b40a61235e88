// Shapes and tensors for the tests of ops on [rows, width] activations.
#pragma once

#include <vector>

#include "kernels/core/fixed_point.h"
#include "kernels/core/view.h"
#include "kernels/token_layout.h"
#include "tests/kernels/op_testing.h"

namespace reformer::testing {

struct Case {
  TokenLayout layout;
  int64_t width;

  Shape shape() const { return {layout.rows(), width}; }
};

/// Starts inside a leaf, in another sample than the first.
inline TokenLayout layout_of(int64_t samples, int64_t length) {
  return {.samples = samples,
          .length = length,
          .first_sample = 5,
          .first_position = 12,
          .tile = 4,
          .leaf = 8};
}

/// All kinds of widths, rows wider than any piece of work, and more of them than a block of rows.
inline std::vector<Case> cases() {
  const TokenLayout long_leaves{.samples = 2, .length = 300, .tile = 128, .leaf = 256};
  return {{layout_of(1, 1), 1},    {layout_of(2, 3), 7},    {layout_of(1, 30), 8},
          {layout_of(3, 5), 64},   {layout_of(1, 17), 33},  {layout_of(2, 19), 200},
          {layout_of(1, 9), 1023}, {layout_of(70, 9), 130}, {layout_of(1, 0), 16},
          {layout_of(1, 3), 2048}, {layout_of(1, 2), 5003}, {long_leaves, 24}};
}

inline Tensor floats(const Shape& shape) {
  return Tensor(DType::kFloat32, shape);
}

/// The residual stream of this dtype with the values of `x`.
inline Tensor to_stream(const Tensor& x, DType dtype) {
  if (dtype == DType::kFloat32) return copy_of(x);
  Tensor stream(DType::kFixed32, x.shape());
  bool saturated = false;
  for (int64_t i = 0; i < x.elements(); ++i) {
    stream.data<uint32_t>()[i] = stream_from_float(x.data<float>()[i], &saturated);
  }
  return stream;
}

}  // namespace reformer::testing
