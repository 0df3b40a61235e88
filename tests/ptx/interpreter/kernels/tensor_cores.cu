// Matrix products by mma and wmma.
#include <cstdint>

#include <cuda_fp16.h>
#include <mma.h>

// C [64, 64] = A [64, 64] · B [64, 64]ᵀ, four warps: cp.async, ldmatrix, mma.
extern "C" __global__ void pipeline(const __half* a, const __half* b, float* c) {
  __shared__ __align__(16) __half tile_a[64][72];
  __shared__ __align__(16) __half tile_b[64][72];
  const int t = static_cast<int>(threadIdx.x), warp = t / 32, lane = t % 32;
  const auto shared = [](const void* p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
  };
  for (int i = t; i < 64 * 8; i += 128) {
    const int row = i / 8, column = i % 8 * 8;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared(&tile_a[row][column])),
                 "l"(a + row * 64 + column));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared(&tile_b[row][column])),
                 "l"(b + row * 64 + column));
  }
  asm volatile("cp.async.commit_group;");
  asm volatile("cp.async.wait_group 0;");
  __syncthreads();
  float total[8][4] = {};
  for (int k = 0; k < 64; k += 16) {
    uint32_t a0, a1, a2, a3;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(a0), "=r"(a1), "=r"(a2), "=r"(a3)
                 : "r"(shared(&tile_a[warp * 16 + lane % 16][k + lane / 16 * 8])));
    for (int n = 0; n < 8; ++n) {
      uint32_t b0, b1;
      asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                   : "=r"(b0), "=r"(b1)
                   : "r"(shared(&tile_b[n * 8 + lane % 8][k + lane / 8 % 2 * 8])));
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
          "{%8,%9}, "
          "{%0,%1,%2,%3};"
          : "+f"(total[n][0]), "+f"(total[n][1]), "+f"(total[n][2]), "+f"(total[n][3])
          : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    }
  }
  for (int n = 0; n < 8; ++n) {
    float* to = c + (warp * 16 + lane / 4) * 64 + n * 8 + lane % 4 * 2;
    to[0] = total[n][0];
    to[1] = total[n][1];
    to[8 * 64] = total[n][2];
    to[8 * 64 + 1] = total[n][3];
  }
}

// C [16, 16] = A [16, 16] · B [16, 16]ᵀ
extern "C" __global__ void fragments(const __half* a, const __half* b, float* c) {
  using namespace nvcuda;
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> left;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::col_major> right;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> total;
  wmma::fill_fragment(total, 0.F);
  wmma::load_matrix_sync(left, a, 16);
  wmma::load_matrix_sync(right, b, 16);
  wmma::mma_sync(total, left, right, total);
  wmma::store_matrix_sync(c, total, 16, wmma::mem_row_major);
}
