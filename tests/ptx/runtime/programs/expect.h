// Checks of the test programs that nvcc builds.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <cuda_runtime.h>

namespace program {

inline int failures = 0;

inline void expect(bool holds, const char* what, int line) {
  if (holds) return;
  std::printf("line %d: %s does not hold\n", line, what);
  ++failures;
}

inline void require(cudaError_t error, const char* what, int line) {
  if (error == cudaSuccess) return;
  std::printf("line %d: %s: %s\n", line, what, cudaGetErrorName(error));
  std::exit(1);
}

inline int finish() {
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}

/// A copy of host values on the device.
template <typename T>
T* upload(const std::vector<T>& values) {
  T* pointer = nullptr;
  const size_t bytes = values.size() * sizeof(T);
  require(cudaMalloc(&pointer, bytes), "cudaMalloc", __LINE__);
  require(cudaMemcpy(pointer, values.data(), bytes, cudaMemcpyHostToDevice), "upload", __LINE__);
  return pointer;
}

template <typename T>
std::vector<T> download(const T* pointer, size_t count) {
  std::vector<T> values(count);
  require(cudaMemcpy(values.data(), pointer, count * sizeof(T), cudaMemcpyDeviceToHost), "download",
          __LINE__);
  return values;
}

}  // namespace program

#define EXPECT(condition) ::program::expect((condition), #condition, __LINE__)
#define REQUIRE(call) ::program::require((call), #call, __LINE__)
