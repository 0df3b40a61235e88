// Matrix products through cuBLASLt, with the algorithm pinned for each kind of product.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/core/dtype.h"

namespace reformer::cuda {

class Runtime;

/// A dense row-major matrix, of a product or of the first of a batch.
struct Matrix {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
  bool transposed = false;  // what lies in memory is the transpose
  int64_t stride = 0;       // elements from one product of a batch to the next
};

/// c [m, n] = a [m, k] · b [k, n], a and b both Float32 or both BFloat16, summed in Float32.
struct Product {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t batch = 1;
  Matrix a;
  Matrix b;
  Matrix c;                    // Float32, or BFloat16 like a and b; written, never transposed
  const void* bias = nullptr;  // [n] of c's dtype, added to every row; or null
  bool accumulate = false;     // c += instead

  /// The extents that the algorithm is chosen for, 0 where it is the product's own. Products that
  /// agree in these and in everything else but m, k and batch have the same algorithm.
  int64_t nominal_m = 0;
  int64_t nominal_k = 0;
  int64_t nominal_batch = 1;
};

/// The cuBLASLt handle and its algorithms. The sum of an element is never split, so that with the
/// same algorithm it has the same bits for any m and batch.
class Gemm {
 public:
  explicit Gemm(Runtime& runtime);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  /// Queues the product on the runtime's stream; one without rows does nothing. Throws DeviceError
  /// when cuBLASLt has no algorithm for it.
  void multiply(const Product& product);

 private:
  struct State;
  Runtime& runtime_;
  std::unique_ptr<State> state_;
};

}  // namespace reformer::cuda
