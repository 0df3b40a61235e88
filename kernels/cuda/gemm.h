// Matrix products through cuBLASLt, with the algorithm pinned for each kind of product.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/core/view.h"

namespace reformer::cuda {

class Runtime;

/// The cuBLASLt handle and its algorithms. The algorithm of a product depends on everything but the
/// number of token rows, so that a row has the same bits in whatever batch it stands.
class Gemm {
 public:
  explicit Gemm(Runtime& runtime);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

}  // namespace reformer::cuda
