// What the checks must find.
extern "C" __global__ void races(const float* a, float* out) {
  __shared__ float s[64];
  s[threadIdx.x] = a[threadIdx.x];
  out[threadIdx.x] = s[63 - threadIdx.x];
}

extern "C" __global__ void reads_beyond(const float* a, float* out) {
  out[threadIdx.x] = a[threadIdx.x + 1];
}

extern "C" __global__ void never_meets(const float* a, float* out) {
  if (threadIdx.x < 48) {
    __syncthreads();
  } else {
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffU, a[threadIdx.x], 1);
  }
}

extern "C" __global__ void writes_beyond(const float* a, float* out, int stride) {
  extern __shared__ float s[];
  s[threadIdx.x * static_cast<unsigned>(stride)] = a[0];
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x];
}

// Blocks add without an atomic.
extern "C" __global__ void loses_sums(const float* a, float* total) {
  if (threadIdx.x == 0) *total += a[blockIdx.x];
}
