// Library functions, integers as in hashes and generators of random numbers, calls.
extern "C" __global__ void functions(const float* a, float* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  const float x = a[i];
  const float first = expf(-x) + logf(x + 2.F) + tanhf(x) + sqrtf(x + 1.F) + rsqrtf(x + 1.F) +
                      erff(x) + sinf(x) + x / (1.F + __expf(-x));
  out[i] =
      first + fmaxf(x, 0.3F) + fminf(x, 0.1F) + fabsf(x) + floorf(x * 10) + powf(x + 1.F, 1.7F);
}

__device__ __noinline__ unsigned step(unsigned x, int times) {
  for (int i = 0; i < times; ++i) x = x * 1664525U + 1013904223U;
  return x;
}

extern "C" __global__ void integers(const int* a, long long* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  const unsigned x = static_cast<unsigned>(a[i]);
  unsigned long long hash = x * 0x9E3779B97F4A7C15ULL;
  hash ^= hash >> 29;
  hash = __umul64hi(hash, 0xBF58476D1CE4E5B9ULL) + hash;
  const unsigned r = step(x, i % 5);
  const int quotient = a[i] / (i % 13 + 1), rest = a[i] % (i % 17 + 1);
  const unsigned mixed = (x & r) | (~x & 0x5a5a5a5aU);
  unsigned bytes = __byte_perm(x, r, 0x3715);
  switch (i & 7) {
    case 0:
      bytes += 1;
      break;
    case 1:
      bytes *= 3;
      break;
    case 2:
      bytes ^= 7;
      break;
    case 3:
      bytes -= 9;
      break;
    case 4:
      bytes = ~bytes;
      break;
    case 5:
      bytes <<= 2;
      break;
    case 6:
      bytes >>= 1;
      break;
    default:
      bytes %= 1000;
  }
  out[i] = static_cast<long long>(hash >> 7) + quotient * 31LL + rest + mixed + bytes + __brev(x) +
           __popcll(hash) + __clzll(static_cast<long long>(hash)) + __funnelshift_l(x, r, i & 31);
}

__device__ __noinline__ int fibonacci(int n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

using Function = float (*)(float);
__device__ float plus_one(float x) {
  return x + 1;
}
__device__ float squared(float x) {
  return x * x;
}
__device__ Function table[2] = {plus_one, squared};

extern "C" __global__ void calls(const int* a, double* out) {
  const unsigned i = threadIdx.x;
  double roots = 0;
  for (int k = 1; k < 5; ++k) roots += sqrt(static_cast<double>(a[i]) + k) / k;
  out[i] = roots + fibonacci(a[i] % 9) + table[i & 1](0.5F * static_cast<float>(i));
  atomicAdd(&out[64], static_cast<double>(a[i]));
}
