// The tensor cores of sm_80 and what feeds them: mma m16n8k16 on BFloat16, ldmatrix, cp.async, and
// tiles in shared memory that neither padding nor bank conflicts cost anything.
//
// Fragments, for lane = 4·g + t of a warp (PTX ISA, "Matrix Fragments for mma.m16n8k16"):
//   C, Float32 [16, 8]: {c0, c1} in row g, {c2, c3} in row g + 8, columns 2t and 2t + 1
//   A, BFloat16 [16, 16]: {a0, a2} in row g, {a1, a3} in row g + 8, columns 2t, 2t + 1 (a0, a1) and
//      those + 8 (a2, a3). So two C fragments side by side, rounded, are an A fragment.
//   B, BFloat16 [16, 8]: rows 2t, 2t + 1 (b0) and those + 8 (b1), column g
#pragma once

#include <cstdint>

#include <cuda_bf16.h>

#include "kernels/cuda/primitives.cuh"

namespace reformer::cuda {

/// Where shared memory begins for PTX instructions that take 32-bit addresses of it.
__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// ---- asynchronous copies from global to shared memory ----------------------------------------

/// 16 bytes, past the L1 cache; zeros, and `source` is not read, unless `valid`.
__device__ __forceinline__ void copy_async_16(uint32_t destination, const void* source,
                                              bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(destination), "l"(source),
               "r"(valid ? 16 : 0)
               : "memory");
}

/// 4 bytes, or zeros.
__device__ __forceinline__ void copy_async_4(void* destination, const void* source, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(destination)),
               "l"(source), "r"(valid ? 4 : 0)
               : "memory");
}

/// 8 bytes, or zeros.
__device__ __forceinline__ void copy_async_8(void* destination, const void* source, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(destination)),
               "l"(source), "r"(valid ? 8 : 0)
               : "memory");
}

/// Makes a group of this thread's copies since the group before.
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Until at most kPending of this thread's groups are under way. Other threads see what was copied
/// after a barrier.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// ---- fragments -------------------------------------------------------------------------------

__device__ __forceinline__ void load_matrices(uint32_t (&matrices)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(address)
               : "memory");
}

__device__ __forceinline__ void load_matrices_transposed(uint32_t (&matrices)[4],
                                                         uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(address)
               : "memory");
}

/// c += a·b
__device__ __forceinline__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                             uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// The first of the two columns that a lane holds of C fragment n.
__device__ __forceinline__ int lane_column(int n) {
  return 8 * n + 2 * (threadIdx.x & 3);
}

/// Two C fragments side by side: [16, 16].
using PairTile = float[2][4];

/// The A fragment of a PairTile.
__device__ __forceinline__ void round_to_fragment(const PairTile& tile, uint32_t (&a)[4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      // The later operand goes to the lower half.
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;"
          : "=r"(a[2 * half + row])
          : "f"(tile[half][2 * row + 1]), "f"(tile[half][2 * row]));
    }
  }
}

__device__ __forceinline__ float lower_half(uint32_t pair) {
  return __uint_as_float(pair << 16);
}
__device__ __forceinline__ float upper_half(uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000u);
}

inline constexpr float kLog2E = 1.4426950408889634f;
inline constexpr float kLn2 = 0.6931471805599453f;

/// 2^x; exact at 0.
__device__ __forceinline__ float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Over the four lanes that hold one row of a C fragment, on each of them.
__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(kFullWarp, x, 1);
  return x + __shfl_xor_sync(kFullWarp, x, 2);
}
__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(kFullWarp, x, 1));
  return fmaxf(x, __shfl_xor_sync(kFullWarp, x, 2));
}

// ---- tiles -----------------------------------------------------------------------------------

inline constexpr int kTileAlignment = 256;

/// Rows of D BFloat16 in shared memory. The 16-byte pieces of a row are permuted so that the eight
/// rows that ldmatrix reads at a time lie in different banks.
template <int D>
struct SharedTile {
  static constexpr int kRowBytes = 2 * D;
  static constexpr int kPieces = D / 8;  // of 16 bytes

  /// Address of a piece. REQUIRES: `base` is a multiple of kTileAlignment, so that what is added
  /// to it may be exclusive-ored, and the pieces of one row are one instruction apart.
  static __device__ __forceinline__ uint32_t at(uint32_t base, int row, int piece) {
    const int swizzle = D >= 64 ? row & 7 : row >> 1 & 3;
    return (base + row * kRowBytes) ^ (swizzle << 4) ^ (piece << 4);
  }

  /// A fragment: rows [row, row + 16), columns [16·k, 16·k + 16).
  static __device__ __forceinline__ void load_a(uint32_t (&a)[4], uint32_t base, int row, int k) {
    const int lane = threadIdx.x % kWarp;
    load_matrices(a, at(base, row + (lane & 15), 2 * k ^ (lane >> 4)));
  }

  /// B fragments {b0, b1} and {b2, b3} of the transpose: 16 rows of the tile are the columns of two
  /// fragments, columns [16·k, 16·k + 16) their depth.
  static __device__ __forceinline__ void load_b_transposed(uint32_t (&b)[4], uint32_t base, int row,
                                                           int k) {
    const int lane = threadIdx.x % kWarp;
    load_matrices(b, at(base, row + (lane & 7) + ((lane >> 4) << 3), 2 * k ^ (lane >> 3 & 1)));
  }

  /// B fragments {b0, b1} and {b2, b3}: 16 rows of the tile are their depth, columns [16·n, 16·n +
  /// 16) the columns of both.
  static __device__ __forceinline__ void load_b(uint32_t (&b)[4], uint32_t base, int row, int n) {
    const int lane = threadIdx.x % kWarp;
    load_matrices_transposed(b, at(base, row + (lane & 15), 2 * n ^ (lane >> 4)));
  }

  /// The pair of elements that C fragment `n` holds in `row`, for this lane.
  static __device__ __forceinline__ uint32_t pair(uint32_t base, int row, int n) {
    uint32_t pair;
    asm volatile("ld.shared.b32 %0, [%1];"
                 : "=r"(pair)
                 : "r"(at(base, row, n) + 4 * (threadIdx.x & 3))
                 : "memory");
    return pair;
  }
};

}  // namespace reformer::cuda
