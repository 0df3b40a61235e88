// Adding terms to gradients (GradientSum): Int64 sums in units of 2^-44, in any order, or Float32
// sums, in a fixed one.
#pragma once

#include <cstdint>

#include "kernels/cuda/chunk.cuh"

namespace reformer::cuda {

/// Adds to a counter of faults (FaultKind).
__device__ inline void count_faults(int count, int64_t* faults, FaultKind kind) {
  if (count == 0) return;
  atomicAdd(reinterpret_cast<unsigned long long*>(faults + kind),
            static_cast<unsigned long long>(count));
}

/// Adds to an exact sum that others may add to at the same time.
__device__ inline void add_atomically(int64_t* sum, long long term) {
  atomicAdd(reinterpret_cast<unsigned long long*>(sum), static_cast<unsigned long long>(term));
}

/// What a term of an exact sum needs: its limit, and where faults are counted.
struct SumLimit {
  explicit SumLimit(const GradientSum& sum)
      : limit(sum.limit), faults(sum.faults.data<int64_t>()) {}

  double limit;
  int64_t* faults;  // null beside Float32 gradients that need none
};

/// Four elements as real numbers.
__device__ inline void load_real(const float* p, double (&values)[4]) {
  const Pack<float, 4> pack = *reinterpret_cast<const Pack<float, 4>*>(p);
#pragma unroll
  for (int i = 0; i < 4; ++i) values[i] = static_cast<double>(pack.elements[i]);
}
__device__ inline void load_real(const int64_t* p, double (&values)[4]) {
  const Pack<int64_t, 4> pack = *reinterpret_cast<const Pack<int64_t, 4>*>(p);
#pragma unroll
  for (int i = 0; i < 4; ++i) values[i] = static_cast<double>(pack.elements[i]) * kSumStep;
}
__device__ inline double real_value(float x) {
  return static_cast<double>(x);
}
__device__ inline double real_value(int64_t q) {
  return static_cast<double>(q) * kSumStep;
}

/// sum + x², each rounded by itself, as on the CPU.
__device__ inline double add_square(double sum, double x) {
  return __dadd_rn(sum, __dmul_rn(x, x));
}

/// dtype dispatch: f(int64_t*) or f(float*) with the elements of a gradient.
template <typename F>
void with_gradient(const View& gradient, const F& f) {
  if (gradient.dtype() == DType::kInt64) {
    f(gradient.data<int64_t>());
  } else {
    f(gradient.data<float>());
  }
}

}  // namespace reformer::cuda
