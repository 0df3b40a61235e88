// A GPU for the communicator's test cases. Like a training step it puts everything on one stream
// and lets the host wait only for what it reads.
#pragma once

#include <string>

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "tests/comm/communicator_cases.h"

namespace reformer::testing {

inline void require(cudaError_t error) {
  ASSERT_EQ(error, cudaSuccess) << cudaGetErrorString(error);
}

class DevicePlace final : public Place {
 public:
  explicit DevicePlace(int device) {
    require(cudaSetDevice(device));
    require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  ~DevicePlace() override { cudaStreamDestroy(stream_); }

  cudaStream_t stream() const { return stream_; }

  std::shared_ptr<void> allocate(size_t bytes) override {
    void* memory = nullptr;
    require(cudaMalloc(&memory, bytes));
    return std::shared_ptr<void>(memory, [](void* freed) { cudaFree(freed); });
  }
  void write(void* memory, const void* from, size_t bytes) override {
    require(cudaMemcpyAsync(memory, from, bytes, cudaMemcpyHostToDevice, stream_));
  }
  void read(const void* memory, void* to, size_t bytes) override {
    require(cudaMemcpyAsync(to, memory, bytes, cudaMemcpyDeviceToHost, stream_));
    require(cudaStreamSynchronize(stream_));
  }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace reformer::testing
