// Memory, shared memory, barriers, atomics, constants.
extern "C" __global__ void add(const float* a, const float* b, float* c, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) c[i] = a[i] + b[i];
}

extern "C" __global__ void change_quads(const float4* __restrict__ a, float4* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  const float4 v = a[i];
  out[i] = {v.x * 2, v.y + 1, -v.z, v.w * v.w};
}

extern "C" __global__ void sum(const float* a, float* out, int n) {
  __shared__ float parts[256];
  const int t = static_cast<int>(threadIdx.x);
  float part = 0;
  for (int i = static_cast<int>(blockIdx.x) * 256 + t; i < n;
       i += static_cast<int>(gridDim.x) * 256) {
    part += a[i];
  }
  parts[t] = part;
  __syncthreads();
  for (int half = 128; half > 0; half >>= 1) {
    if (t < half) parts[t] += parts[t + half];
    __syncthreads();
  }
  if (t == 0) out[blockIdx.x] = parts[0];
}

extern "C" __global__ void exchange(const float* a, float* out) {
  extern __shared__ float dynamic[];
  const unsigned t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
  dynamic[t] = a[i];
  dynamic[t + blockDim.x] = a[i] * 2;
  __syncthreads();
  out[i] = dynamic[blockDim.x - 1 - t] + dynamic[blockDim.x + (t ^ 1)];
}

extern "C" __global__ void multiply(const float* a, const float* b, float* c, int m, int n, int k) {
  __shared__ float tile_a[16][17], tile_b[16][17];
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const int row = static_cast<int>(blockIdx.y) * 16 + y,
            column = static_cast<int>(blockIdx.x) * 16 + x;
  float total = 0;
  for (int begin = 0; begin < k; begin += 16) {
    tile_a[y][x] = row < m && begin + x < k ? a[row * k + begin + x] : 0;
    tile_b[y][x] = begin + y < k && column < n ? b[(begin + y) * n + column] : 0;
    __syncthreads();
#pragma unroll
    for (int j = 0; j < 16; ++j) total += tile_a[y][j] * tile_b[j][x];
    __syncthreads();
  }
  if (row < m && column < n) c[row * n + column] = total;
}

extern "C" __global__ void count(const float* a, float* sums, int* marks, int n) {
  __shared__ float parts[8];
  __shared__ int positive;
  if (threadIdx.x < 8) parts[threadIdx.x] = 0;
  if (threadIdx.x == 0) positive = 0;
  __syncthreads();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) {
    if (atomicAdd(&parts[i & 7], a[i]) >= 0) atomicAdd(&positive, 1);
    atomicMax(&marks[0], i);
    atomicExch(&marks[1], 5);
    atomicCAS(&marks[2], 0, 9);
  }
  __syncthreads();
  if (threadIdx.x < 8) atomicAdd(&sums[threadIdx.x], parts[threadIdx.x]);
  if (threadIdx.x == 0) atomicAdd(&marks[3], positive);
}

__constant__ float weights[8] = {1, 2, 3, 4, 5, 6, 7, 8};
__device__ float offsets[4] = {0.5F, 1.5F, 2.5F, 3.5F};

struct Scaling {
  const float* a;
  float* out;
  int n;
  float factor;
};

// A structure for a parameter, local memory indexed at run time.
extern "C" __global__ void scale(Scaling scaling) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= scaling.n) return;
  float products[8];
  for (int k = 0; k < 8; ++k) products[k] = weights[k] * scaling.a[i];
  const int which = static_cast<int>(scaling.a[i] * 100) & 7;
  scaling.out[i] = products[which] * scaling.factor + offsets[i & 3];
}
