// Programs with a fault each, named by the argument. None may end well.
#include <functional>
#include <map>
#include <string>

#include "tests/ptx/runtime/programs/expect.h"

namespace {

constexpr int kCount = 256;
constexpr size_t kBytes = kCount * sizeof(int);

__global__ void fill(int* values, int value) {
  values[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

__global__ void add_one(int* values) {
  values[blockIdx.x * blockDim.x + threadIdx.x] += 1;
}

__global__ void race(int* out) {
  __shared__ int shared[kCount];
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  out[threadIdx.x] = shared[kCount - 1 - threadIdx.x];
}

__global__ void spin(volatile int* flag) {
  while (*flag == 0) {
  }
}

cudaStream_t stream() {
  cudaStream_t made;
  REQUIRE(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
  return made;
}

int* allocate() {
  int* values = nullptr;
  REQUIRE(cudaMalloc(&values, kBytes));
  return values;
}

int* pinned() {
  int* values = nullptr;
  REQUIRE(cudaMallocHost(&values, kBytes));
  return values;
}

/// The device must have failed; prints its error.
void finish() {
  const cudaError_t error = cudaDeviceSynchronize();
  std::printf("ends with %s\n", cudaGetErrorName(error));
  int* values = nullptr;
  EXPECT(error == cudaSuccess || cudaMalloc(&values, 4) == error);  // it stays
  if (error != cudaSuccess) std::exit(1);
}

/// A wrong result is a fault that was seen as well.
void compare(const int* values, int value) {
  for (int i = 0; i < kCount; ++i) {
    if (values[i] == value) continue;
    std::printf("wrong result\n");
    std::exit(1);
  }
}

const std::map<std::string, std::function<void()>> kFaults = {
    {"missing-wait",  // of the second stream for the first
     [] {
       int* const values = allocate();
       int* const out = pinned();
       const cudaStream_t producer = stream();
       const cudaStream_t consumer = stream();
       fill<<<2, 128, 0, producer>>>(values, 7);
       REQUIRE(cudaMemcpyAsync(out, values, kBytes, cudaMemcpyDeviceToHost, consumer));
       finish();
       compare(out, 7);
     }},
    {"missing-synchronize",  // of the host, before it reads
     [] {
       int* const values = allocate();
       int* const out = pinned();
       const cudaStream_t work = stream();
       fill<<<2, 128, 0, work>>>(values, 7);
       REQUIRE(cudaMemcpyAsync(out, values, kBytes, cudaMemcpyDeviceToHost, work));
       compare(out, 7);
       finish();
     }},
    {"source-reused",  // by the host, before the copy was made
     [] {
       int* const values = allocate();
       int* const in = pinned();
       int* const out = pinned();
       for (int i = 0; i < kCount; ++i) in[i] = 7;
       const cudaStream_t work = stream();
       REQUIRE(cudaMemcpyAsync(values, in, kBytes, cudaMemcpyHostToDevice, work));
       for (int i = 0; i < kCount; ++i) in[i] = 8;
       REQUIRE(cudaMemcpyAsync(out, values, kBytes, cudaMemcpyDeviceToHost, work));
       finish();
       compare(out, 7);
     }},
    {"use-after-free",
     [] {
       int* const values = allocate();
       REQUIRE(cudaFree(values));
       fill<<<2, 128>>>(values, 7);
       finish();
     }},
    {"use-after-free-async",
     [] {
       int* values = nullptr;
       const cudaStream_t work = stream();
       REQUIRE(cudaMallocAsync(&values, kBytes, work));
       REQUIRE(cudaFreeAsync(values, work));
       fill<<<2, 128, 0, work>>>(values, 7);
       finish();
     }},
    {"use-before-malloc-async",  // in another stream
     [] {
       int* values = nullptr;
       REQUIRE(cudaMallocAsync(&values, kBytes, stream()));
       const cudaStream_t other = stream();
       fill<<<2, 128, 0, other>>>(values, 7);
       REQUIRE(cudaStreamSynchronize(other));
     }},
    {"double-free",
     [] {
       int* const values = allocate();
       REQUIRE(cudaFree(values));
       REQUIRE(cudaFree(values));
     }},
    {"out-of-bounds",
     [] {
       fill<<<3, 128>>>(allocate(), 7);
       finish();
     }},
    {"misaligned",
     [] {
       fill<<<1, 32>>>(reinterpret_cast<int*>(reinterpret_cast<char*>(allocate()) + 2), 7);
       finish();
     }},
    {"host-pointer",
     [] {
       static int plain[kCount];
       fill<<<2, 128>>>(plain, 7);
       finish();
     }},
    {"unwritten",
     [] {
       add_one<<<2, 128>>>(allocate());
       finish();
     }},
    {"unwritten-copy",
     [] {
       int* const values = allocate();
       fill<<<1, 128>>>(values, 7);
       program::download(values, kCount);
     }},
    {"race",
     [] {
       race<<<1, kCount>>>(allocate());
       finish();
     }},
    {"hang",
     [] {
       int* const flag = allocate();
       REQUIRE(cudaMemset(flag, 0, sizeof(int)));
       spin<<<1, 32>>>(flag);
       finish();
     }},
    {"host-touch", [] { allocate()[3] = 7; }},
};

}  // namespace

int main(int, char** arguments) {
  kFaults.at(arguments[1])();
  std::printf("nothing was noticed\n");
  return 0;
}
