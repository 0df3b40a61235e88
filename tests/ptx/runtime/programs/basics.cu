// Launches, variables, attributes, and the errors of wrong calls.
#include "tests/ptx/runtime/programs/expect.h"

namespace {

using program::download;
using program::upload;

__constant__ float scales[4];
__device__ int counter;
__device__ int table[4] = {1, 2, 3, 4};

/// out[i] = the sum of a warp's neighbours in pairs, scaled.
template <typename T>
__global__ void sum_warps(const T* in, T* out, int count) {
  extern __shared__ char raw[];
  T* const shared = reinterpret_cast<T*>(raw);
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  shared[threadIdx.x] = i < count ? in[i] : T(0);
  __syncthreads();
  T value = shared[threadIdx.x ^ 1];
  for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(~0u, value, mask);
  if (i < count) out[i] = value * scales[i & 3];
  if (threadIdx.x == 0) atomicAdd(&counter, 1);
}

__global__ void add_ten() {
  table[threadIdx.x] += 10;
}

struct Wide {
  char name;
  double values[5];
  short last;
};

__global__ void take_struct(int* out, Wide wide, char small) {
  out[threadIdx.x] = static_cast<int>(wide.values[threadIdx.x]) + wide.last + small;
}

__global__ void use_shared(int* out) {
  extern __shared__ int numbers[];
  numbers[threadIdx.x * 1024] = static_cast<int>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = numbers[threadIdx.x * 1024];
}

__global__ void __launch_bounds__(64) bounded(int* out) {
  out[threadIdx.x] = 1;
}

void test_launch() {
  constexpr int kCount = 1000;
  std::vector<float> in(kCount);
  for (int i = 0; i < kCount; ++i) in[static_cast<size_t>(i)] = static_cast<float>(i % 7);
  const float factors[4] = {1, 2, 3, 4};
  REQUIRE(cudaMemcpyToSymbol(scales, factors, sizeof factors));
  float* const a = upload(in);
  float* out = nullptr;
  REQUIRE(cudaMalloc(&out, kCount * sizeof(float)));
  cudaStream_t stream;
  REQUIRE(cudaStreamCreate(&stream));
  sum_warps<<<8, 128, 128 * sizeof(float), stream>>>(a, out, kCount);
  REQUIRE(cudaGetLastError());
  REQUIRE(cudaStreamSynchronize(stream));
  const std::vector<float> result = download(out, kCount);
  for (int i = 0; i < kCount / 32 * 32; ++i) {
    float sum = 0;
    for (int j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) sum += in[static_cast<size_t>(j)];
    EXPECT(result[static_cast<size_t>(i)] == sum * factors[i & 3]);
  }
  int blocks = 0;
  REQUIRE(cudaMemcpyFromSymbol(&blocks, counter, sizeof blocks));
  EXPECT(blocks == 8);
}

void test_arguments_and_variables() {
  int* out = nullptr;
  REQUIRE(cudaMalloc(&out, 5 * sizeof(int)));
  take_struct<<<1, 5>>>(out, {'x', {1, 2, 3, 4, 5}, 100}, 7);
  EXPECT(download(out, 5) == (std::vector<int>{108, 109, 110, 111, 112}));
  add_ten<<<1, 4>>>();
  int numbers[4];
  REQUIRE(cudaMemcpyFromSymbol(numbers, table, sizeof numbers));
  EXPECT(numbers[0] == 11 && numbers[3] == 14);
  void* address = nullptr;
  size_t bytes = 0;
  REQUIRE(cudaGetSymbolAddress(&address, table));
  REQUIRE(cudaGetSymbolSize(&bytes, table));
  EXPECT(bytes == sizeof numbers);
  REQUIRE(cudaMemset(address, 0, sizeof(int)));
  REQUIRE(cudaMemcpyFromSymbol(numbers, table, sizeof numbers));
  EXPECT(numbers[0] == 0 && numbers[1] == 12);
}

void test_shared_memory_limits() {
  int* out = nullptr;
  REQUIRE(cudaMalloc(&out, 16 * sizeof(int)));
  constexpr int kBytes = 64 * 1024;
  use_shared<<<1, 16, kBytes>>>(out);
  EXPECT(cudaGetLastError() == cudaErrorInvalidValue);
  REQUIRE(cudaFuncSetAttribute(use_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  use_shared<<<1, 16, kBytes>>>(out);
  EXPECT(download(out, 16)[15] == 15);
  EXPECT(cudaFuncSetAttribute(use_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 20) ==
         cudaErrorInvalidValue);
  cudaGetLastError();
}

void test_questions() {
  cudaFuncAttributes attributes;
  REQUIRE(cudaFuncGetAttributes(&attributes, bounded));
  EXPECT(attributes.maxThreadsPerBlock == 64);
  EXPECT(attributes.ptxVersion >= 80);
  int blocks = 0;
  REQUIRE(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, bounded, 64, 0));
  EXPECT(blocks >= 1 && blocks <= 32);
  int grid = 0;
  int block = 0;
  REQUIRE(cudaOccupancyMaxPotentialBlockSize(&grid, &block, add_ten));
  EXPECT(grid >= 1 && block >= 32);
  cudaDeviceProp properties;
  REQUIRE(cudaGetDeviceProperties(&properties, 0));
  EXPECT(std::strcmp(properties.name, "PTX interpreter") == 0);
  EXPECT(properties.major * 10 + properties.minor == attributes.ptxVersion);
  int version = 0;
  REQUIRE(cudaRuntimeGetVersion(&version));
  EXPECT(version == CUDART_VERSION);
  size_t free = 0;
  size_t total = 0;
  REQUIRE(cudaMemGetInfo(&free, &total));
  EXPECT(free < total && total == properties.totalGlobalMem);
}

void test_pointers() {
  int* device = nullptr;
  int* pinned = nullptr;
  int plain[4];
  REQUIRE(cudaMalloc(&device, 64));
  REQUIRE(cudaMallocHost(&pinned, 64));
  cudaPointerAttributes attributes;
  REQUIRE(cudaPointerGetAttributes(&attributes, device + 3));
  EXPECT(attributes.type == cudaMemoryTypeDevice && attributes.device == 0);
  REQUIRE(cudaPointerGetAttributes(&attributes, pinned));
  EXPECT(attributes.type == cudaMemoryTypeHost && attributes.devicePointer == pinned);
  REQUIRE(cudaPointerGetAttributes(&attributes, plain));
  EXPECT(attributes.type == cudaMemoryTypeUnregistered);
  REQUIRE(cudaHostRegister(plain, sizeof plain, 0));
  REQUIRE(cudaPointerGetAttributes(&attributes, plain));
  EXPECT(attributes.type == cudaMemoryTypeHost);
  REQUIRE(cudaHostUnregister(plain));
  // Kernels reach pinned memory.
  bounded<<<1, 16>>>(pinned);
  REQUIRE(cudaDeviceSynchronize());
  EXPECT(pinned[15] == 1);
  REQUIRE(cudaFreeHost(pinned));
  REQUIRE(cudaFree(device));
}

void test_wrong_calls() {
  int* device = nullptr;
  int host[64] = {};
  REQUIRE(cudaMalloc(&device, 64 * sizeof(int)));
  EXPECT(cudaMemcpy(host, host + 8, 8, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  EXPECT(cudaMemcpy(host, device, 8, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  EXPECT(cudaMemcpy(device + 63, host, 8, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  EXPECT(cudaMemset(device, 0, 257) == cudaErrorInvalidValue);
  EXPECT(cudaFree(device + 1) == cudaErrorInvalidValue);
  bounded<<<1, 65>>>(device);
  EXPECT(cudaGetLastError() == cudaErrorInvalidConfiguration);
  bounded<<<0, 1>>>(device);
  EXPECT(cudaPeekAtLastError() == cudaErrorInvalidConfiguration);
  EXPECT(cudaGetLastError() == cudaErrorInvalidConfiguration);
  EXPECT(cudaGetLastError() == cudaSuccess);
  EXPECT(cudaSetDevice(1) == cudaErrorInvalidDevice);
  void* huge = nullptr;
  EXPECT(cudaMalloc(&huge, size_t{1} << 40) == cudaErrorMemoryAllocation);
  EXPECT(cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(&huge)) ==
         cudaErrorInvalidResourceHandle);
  EXPECT(std::strcmp(cudaGetErrorName(cudaErrorInvalidValue), "cudaErrorInvalidValue") == 0);
  EXPECT(std::strcmp(cudaGetErrorString(cudaErrorInvalidValue), "invalid argument") == 0);
  cudaGetLastError();
  bounded<<<1, 64>>>(device);
  EXPECT(download(device, 64)[63] == 1);
}

void test_pitched_copies() {
  constexpr size_t kPitch = 64;
  std::vector<char> rows(5 * 10);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<char>(i);
  char* device = nullptr;
  REQUIRE(cudaMalloc(&device, 5 * kPitch));
  REQUIRE(cudaMemcpy2D(device, kPitch, rows.data(), 10, 10, 5, cudaMemcpyHostToDevice));
  std::vector<char> back(rows.size());
  REQUIRE(cudaMemcpy2D(back.data(), 10, device, kPitch, 10, 5, cudaMemcpyDeviceToHost));
  EXPECT(back == rows);
}

}  // namespace

int main() {
  test_launch();
  test_arguments_and_variables();
  test_shared_memory_limits();
  test_questions();
  test_pointers();
  test_wrong_calls();
  test_pitched_copies();
  return program::finish();
}
