// The sums of one query over rounds: weights are e^score (or 2^(score · log2 e)) over a factor that
// may differ between rounds, the offset, and rounds are added in their order.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/attention_args.h"
#include "kernels/cuda/mma.cuh"

namespace reformer::cuda {

/// An offset below every score.
inline constexpr float kNoScore = -1e30f;

/// Beside Σ w v. Weights are Base::power(score − offset).
struct alignas(16) RoundSums {
  float offset = 0;
  float weights = 0;  // Σ w
  float divisor = 0;  // Σ w as the values were multiplied by them
  float nothing = 0;  // is read with the others, in 16 bytes
};

/// Writes kRoundWeights floats.
__device__ __forceinline__ void store_round(const RoundSums& sums, float* to) {
  to[0] = sums.offset;
  to[1] = sums.weights;
  to[2] = sums.divisor;
}
__device__ __forceinline__ RoundSums load_round(const float* from) {
  return {.offset = from[0], .weights = from[1], .divisor = from[2]};
}

/// As the kernels without tensor cores take weights.
struct NaturalBase {
  static __device__ __forceinline__ float power(float x) { return expf(x); }
  static __device__ __forceinline__ float log_of(const RoundSums& sums) {
    return sums.offset + logf(sums.weights);
  }
};

/// As the kernels for tensor cores do.
struct BinaryBase {
  static __device__ __forceinline__ float power(float x) { return exp2_approximate(x); }
  static __device__ __forceinline__ float log_of(const RoundSums& sums) {
    return (sums.offset + __log2f(sums.weights)) * kLn2;
  }
};

/// What sums are multiplied by when rounds are added.
struct RoundFactors {
  float before = 1;
  float now = 1;

  /// Not left to the compiler, which may fuse either product with the sum.
  __device__ __forceinline__ float add(float x, float y) const {
    return __fmaf_rn(x, before, __fmul_rn(y, now));
  }
};

/// Adds a round. Offsets of long queries alone differ between rounds; of the others, both factors
/// are exactly 1.
template <typename Base>
__device__ __forceinline__ RoundFactors add_round(const RoundSums& now, RoundSums& sums) {
  const float offset = fmaxf(sums.offset, now.offset);
  const RoundFactors factors{.before = Base::power(sums.offset - offset),
                             .now = Base::power(now.offset - offset)};
  sums = {.offset = offset,
          .weights = factors.add(sums.weights, now.weights),
          .divisor = factors.add(sums.divisor, now.divisor)};
  return factors;
}

/// From Σ w v to the output. −0 becomes 0, so that the sign of a sum that underflowed does not tell
/// whether zeros were added to it after.
__device__ __forceinline__ float divided(float sum, float factor) {
  return __fmaf_rn(sum, factor, 0.0f);
}

}  // namespace reformer::cuda
