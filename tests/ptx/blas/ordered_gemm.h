// Matrix products on host memory: D = activation(alpha · A·B + beta · C + bias).
//
// Every element of A·B is summed in float, by fused multiply-adds in the order of k, into one
// accumulator (or k_parts of them, added in order): its bits depend on its row of A and its column
// of B, and neither on m and n, nor on where the element stands, nor on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "tests/ptx/blas/element.h"

namespace reformer::ptx {

/// A matrix whose element (i, j) stands at data + (i · row_stride + j · column_stride) elements.
struct ConstMatrix {
  const std::byte* data = nullptr;
  ElementType type = ElementType::kFloat32;
  int64_t row_stride = 1;
  int64_t column_stride = 0;
};

struct Matrix {
  std::byte* data = nullptr;
  ElementType type = ElementType::kFloat32;
  int64_t row_stride = 1;
  int64_t column_stride = 0;
};

/// Calls body(i) for every i in [0, count), each once, on any threads, and returns when all are
/// done.
using ParallelFor = std::function<void(int64_t count, const std::function<void(int64_t)>& body)>;

struct GemmArgs {
  int64_t m = 0;  // rows of A, C, D
  int64_t n = 0;  // columns of B, C, D
  int64_t k = 0;
  ConstMatrix a;  // [m, k]
  ConstMatrix b;  // [k, n]
  ConstMatrix c;  // [m, n]; not read where beta is 0
  Matrix d;       // [m, n]; may be c
  float alpha = 1;
  float beta = 0;
  const std::byte* bias = nullptr;  // [m], added to every column; or absent
  ElementType bias_type = ElementType::kFloat32;
  bool relu = false;    // NaN stays NaN
  int64_t k_parts = 1;  // equal parts of k, as far as it can be divided
};

void gemm(const GemmArgs& args, const ParallelFor& parallel_for);

}  // namespace reformer::ptx
