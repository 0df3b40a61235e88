// Device code that the kernels share: launching, element types, 16-byte accesses, warp sums,
// Philox, fixed point.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include <cuda_bf16.h>

#include "kernels/backend.h"
#include "kernels/core/check.h"
#include "kernels/core/fixed_point.h"
#include "kernels/core/philox.h"
#include "kernels/cuda/runtime.h"

namespace reformer {

/// Kernels know BFloat16 under CUDA's name.
template <>
struct DTypeOf<__nv_bfloat16> {
  static constexpr DType value = DType::kBFloat16;
};

namespace cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kFullWarp = 0xffffffffu;

// ---- host side -------------------------------------------------------------------------------

/// Launches `kernel` on the runtime's stream, unless it only plans or the grid is empty.
/// `shared_bytes` of dynamic shared memory may exceed 48 KiB.
template <typename... Parameters, typename... Arguments>
void launch(Runtime& runtime, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            size_t shared_bytes, Arguments&&... arguments) {
  if (!runtime.computes() || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (shared_bytes > 48 * 1024) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "cudaFuncSetAttribute");
  }
  kernel<<<grid, block, shared_bytes, runtime.stream()>>>(
      static_cast<Parameters>(std::forward<Arguments>(arguments))...);
  check(cudaGetLastError(), "kernel launch");
}

constexpr int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// dtype dispatch: f(T{}) with T = float or __nv_bfloat16, the elements of an activation.
template <typename F>
void with_element_type(DType dtype, const F& f) {
  if (dtype == DType::kBFloat16) {
    f(__nv_bfloat16{});
  } else {
    CHECK_EQ(dtype, DType::kFloat32);
    f(float{});
  }
}

// ---- bugs ------------------------------------------------------------------------------------

/// CHECK of the device: the launch fails, and with it everything after it.
__device__ inline void trap_unless(bool condition) {
  if (!condition) __trap();
}

// ---- elements --------------------------------------------------------------------------------

__device__ inline float load(const float* p) {
  return *p;
}
__device__ inline float load(const __nv_bfloat16* p) {
  return __bfloat162float(*p);
}
/// An element of a Fixed32 stream.
__device__ inline float load(const uint32_t* p) {
  return static_cast<float>(static_cast<int32_t>(*p)) * kStreamStep;
}
__device__ inline void store(float* p, float value) {
  *p = value;
}
__device__ inline void store(__nv_bfloat16* p, float value) {
  *p = __float2bfloat16_rn(value);
}

// ---- warps -----------------------------------------------------------------------------------

/// Σ over the warp, in a fixed order, on every lane.
__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kFullWarp, value, distance);
  }
  return value;
}

__device__ inline float warp_max(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kFullWarp, value, distance));
  }
  return value;
}

/// Σ over the lanes up to and including the own one.
__device__ inline int32_t inclusive_warp_sum(int32_t value) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const int32_t before = __shfl_up_sync(kFullWarp, value, distance);
    if (lane >= distance) value += before;
  }
  return value;
}

// ---- random numbers --------------------------------------------------------------------------

/// philox() of kernels/core/philox.h.
__device__ inline uint4 philox4(PhiloxKey key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
#pragma unroll
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint32_t high0 = __umulhi(kPhiloxM0, c0);
    const uint32_t high1 = __umulhi(kPhiloxM1, c2);
    const uint32_t low0 = kPhiloxM0 * c0;
    const uint32_t low1 = kPhiloxM1 * c2;
    c0 = high1 ^ c1 ^ key.lo;
    c1 = low1;
    c2 = high0 ^ c3 ^ key.hi;
    c3 = low0;
    key.lo += kPhiloxW0;
    key.hi += kPhiloxW1;
  }
  return make_uint4(c0, c1, c2, c3);
}

// ---- fixed point -----------------------------------------------------------------------------

/// stream_from_float() of kernels/core/fixed_point.h.
__device__ inline uint32_t to_stream(float value, bool* saturated) {
  constexpr float kLimit = 0x1p31f;
  const float scaled = rintf(value * kStreamScale);
  if (scaled >= -kLimit && scaled < kLimit)
    return static_cast<uint32_t>(static_cast<int32_t>(scaled));
  *saturated = true;
  if (isnan(scaled)) return 0;
  return scaled < 0 ? 0x80000000u : 0x7fffffffu;
}

/// sum_term() of kernels/core/fixed_point.h.
__device__ inline long long to_sum_term(double value, double limit, bool* overflowed) {
  const double scaled = rint(value * kSumScale);
  if (fabs(scaled) < limit) return static_cast<long long>(scaled);
  *overflowed = true;
  return 0;
}

/// Adds 1 to a counter of faults (FaultKind) for each lane where `fault` holds. All lanes of the
/// warp that are here call it together.
__device__ inline void count_fault(bool fault, int64_t* faults, FaultKind kind) {
  if (fault) {
    atomicAdd(reinterpret_cast<unsigned long long*>(faults + kind), 1ull);
  }
}

}  // namespace cuda
}  // namespace reformer
