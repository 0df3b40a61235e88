// One problem for every op, in host memory, with the error that an implementation may have.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace reformer {

/// The size of the problems.
struct OpScale {
  int64_t tokens = 4096;  // of each of two sequences
  int64_t width = 512;
  int64_t ff_width = 1024;
  int64_t head_dim = 64;
  int64_t vocabulary = 1000;
};

struct OpCase {
  std::string name;
  /// The results on a backend that takes views in host memory.
  std::function<std::vector<Tensor>(Backend&)> run;
  // Largest difference from the CPU's Float32 results that is allowed, as a share of the largest
  // result of a tensor. For buckets and order: the share of elements that may differ.
  double float32_bound;
  double bfloat16_bound;
};

std::vector<OpCase> op_cases(const OpScale& scale);

/// The error of one result as an OpCase counts it; infinite if a number is not finite.
double error_of(const Tensor& result, const Tensor& expected);

}  // namespace reformer
