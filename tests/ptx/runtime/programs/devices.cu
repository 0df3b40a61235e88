// Several devices in one process, one for each thread. PTX_DEVICES=2.
#include <thread>

#include "tests/ptx/runtime/programs/expect.h"

namespace {

constexpr int kCount = 64;

__device__ int calls;

__global__ void fill(int* values, int value) {
  values[threadIdx.x] = value;
  if (threadIdx.x == 0) ++calls;
}

int* allocate() {
  int* values = nullptr;
  REQUIRE(cudaMalloc(&values, kCount * sizeof(int)));
  return values;
}

/// A thread begins with device 0; a device has memory, variables and streams of its own.
void test_threads() {
  const auto work = [](int device) {
    int current = -1;
    REQUIRE(cudaGetDevice(&current));
    EXPECT(current == 0);
    REQUIRE(cudaSetDevice(device));
    int* const values = allocate();
    for (int i = 0; i < 10 + device; ++i) fill<<<1, kCount>>>(values, device);
    EXPECT(program::download(values, kCount) == std::vector<int>(kCount, device));
    int count = 0;
    REQUIRE(cudaMemcpyFromSymbol(&count, calls, sizeof count));
    EXPECT(count == 10 + device);
    cudaPointerAttributes attributes;
    REQUIRE(cudaPointerGetAttributes(&attributes, values));
    EXPECT(attributes.device == device);
  };
  std::thread first(work, 0);
  std::thread second(work, 1);
  first.join();
  second.join();
}

void test_peers() {
  REQUIRE(cudaSetDevice(1));
  int* const values = allocate();
  cudaStream_t stream;
  REQUIRE(cudaStreamCreate(&stream));
  REQUIRE(cudaSetDevice(0));
  int can = 0;
  REQUIRE(cudaDeviceCanAccessPeer(&can, 0, 1));
  EXPECT(can == 1);
  REQUIRE(cudaDeviceEnablePeerAccess(1, 0));
  EXPECT(cudaDeviceEnablePeerAccess(1, 0) == cudaErrorPeerAccessAlreadyEnabled);
  fill<<<1, kCount>>>(values, 5);
  EXPECT(program::download(values, kCount) == std::vector<int>(kCount, 5));
  fill<<<1, kCount, 0, stream>>>(values, 5);  // a stream of the other device
  EXPECT(cudaGetLastError() == cudaErrorInvalidResourceHandle);
}

/// The error of a device is its own.
void test_failure() {
  REQUIRE(cudaSetDevice(1));
  fill<<<1, 2 * kCount>>>(allocate(), 1);
  EXPECT(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  EXPECT(cudaGetLastError() == cudaErrorIllegalAddress);
  EXPECT(cudaGetLastError() == cudaErrorIllegalAddress);
  REQUIRE(cudaSetDevice(0));
  cudaGetLastError();
  REQUIRE(cudaDeviceSynchronize());
}

/// Without cudaDeviceEnablePeerAccess.
int touch_the_other() {
  REQUIRE(cudaSetDevice(1));
  int* const values = allocate();
  REQUIRE(cudaSetDevice(0));
  fill<<<1, kCount>>>(values, 5);
  return cudaDeviceSynchronize() != cudaSuccess;
}

}  // namespace

int main(int count, char**) {
  if (count > 1) return touch_the_other();
  test_threads();
  test_peers();
  test_failure();
  return program::finish();
}
