// f16 and bf16, single and in pairs.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

extern "C" __global__ void halves(const float* a, __half* h, float* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  h[i] = __float2half(a[i]);
  out[i] = __half2float(h[i]);
}

extern "C" __global__ void bfloats(const float* a, __nv_bfloat16* h, float* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  h[i] = __float2bfloat16(a[i]);
  out[i] = __bfloat162float(h[i]);
}

extern "C" __global__ void half_pairs(const __half2* a, const __half2* b, __half2* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = __hfma2(a[i], b[i], __hadd2(a[i], __hmul2(b[i], b[i])));
}

extern "C" __global__ void bfloat_pairs(const __nv_bfloat162* a, const __nv_bfloat162* b,
                                        __nv_bfloat162* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = __hfma2(a[i], b[i], __hadd2(a[i], b[i]));
}
