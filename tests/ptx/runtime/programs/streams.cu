// A correct program gives the same results in every order of the queues.
#include <atomic>
#include <chrono>
#include <thread>

#include "tests/ptx/runtime/programs/expect.h"

namespace {

constexpr int kCount = 300;
constexpr size_t kBytes = kCount * sizeof(int);

__global__ void twice_plus(int* values, int addend) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < kCount) values[i] = values[i] * 2 + addend;
}

void launch(int* values, int addend, cudaStream_t stream) {
  twice_plus<<<3, 128, 0, stream>>>(values, addend);
  REQUIRE(cudaGetLastError());
}

cudaStream_t stream_of(unsigned flags) {
  cudaStream_t stream;
  REQUIRE(cudaStreamCreateWithFlags(&stream, flags));
  return stream;
}

cudaEvent_t event_of(unsigned flags = cudaEventDefault) {
  cudaEvent_t event;
  REQUIRE(cudaEventCreateWithFlags(&event, flags));
  return event;
}

int* pinned() {
  int* values = nullptr;
  REQUIRE(cudaMallocHost(&values, kBytes));
  return values;
}

void test_events_order_streams() {
  const cudaStream_t first = stream_of(cudaStreamNonBlocking);
  const cudaStream_t second = stream_of(cudaStreamNonBlocking);
  const cudaEvent_t uploaded = event_of();
  const cudaEvent_t computed = event_of();
  int* const in = pinned();
  int* const out = pinned();
  for (int i = 0; i < kCount; ++i) in[i] = i;
  int* values = nullptr;
  REQUIRE(cudaMalloc(&values, kBytes));
  REQUIRE(cudaMemcpyAsync(values, in, kBytes, cudaMemcpyHostToDevice, first));
  REQUIRE(cudaEventRecord(uploaded, first));
  REQUIRE(cudaStreamWaitEvent(second, uploaded, 0));
  launch(values, 1, second);
  REQUIRE(cudaEventRecord(computed, second));
  REQUIRE(cudaStreamWaitEvent(first, computed, 0));
  launch(values, 5, first);
  REQUIRE(cudaMemcpyAsync(out, values, kBytes, cudaMemcpyDeviceToHost, first));
  REQUIRE(cudaStreamSynchronize(first));
  for (int i = 0; i < kCount; ++i) EXPECT(out[i] == (2 * i + 1) * 2 + 5);
  float milliseconds = -1;
  REQUIRE(cudaEventElapsedTime(&milliseconds, uploaded, computed));
  EXPECT(milliseconds >= 0);
  REQUIRE(cudaStreamDestroy(first));
  REQUIRE(cudaStreamDestroy(second));
  REQUIRE(cudaFree(values));
}

void test_events() {
  const cudaEvent_t timed = event_of();
  const cudaEvent_t untimed = event_of(cudaEventDisableTiming);
  EXPECT(cudaEventQuery(timed) == cudaSuccess);  // nothing was recorded
  REQUIRE(cudaEventRecord(timed, nullptr));
  REQUIRE(cudaEventRecord(untimed, nullptr));
  REQUIRE(cudaEventSynchronize(untimed));
  float milliseconds = 0;
  EXPECT(cudaEventElapsedTime(&milliseconds, timed, untimed) == cudaErrorInvalidResourceHandle);
  REQUIRE(cudaEventDestroy(timed));
  EXPECT(cudaEventRecord(timed, nullptr) == cudaErrorInvalidResourceHandle);
  cudaGetLastError();
}

void test_host_functions() {
  const cudaStream_t stream = stream_of(cudaStreamNonBlocking);
  const cudaEvent_t event = event_of();
  int hits = 0;
  const auto hit = [](void* data) { ++*static_cast<int*>(data); };
  REQUIRE(cudaLaunchHostFunc(stream, hit, &hits));
  REQUIRE(cudaEventRecord(event, stream));
  while (cudaEventQuery(event) == cudaErrorNotReady) {
  }
  EXPECT(hits == 1);
  REQUIRE(cudaLaunchHostFunc(stream, hit, &hits));
  while (cudaStreamQuery(stream) == cudaErrorNotReady) {
  }
  EXPECT(hits == 2);
}

void test_default_stream() {
  const cudaStream_t stream = stream_of(cudaStreamDefault);
  int* const out = pinned();
  int* values = nullptr;
  REQUIRE(cudaMalloc(&values, kBytes));
  REQUIRE(cudaMemsetAsync(values, 0, kBytes, stream));
  launch(values, 7, nullptr);  // after the fill
  launch(values, 1, stream);   // after that
  REQUIRE(cudaMemcpyAsync(out, values, kBytes, cudaMemcpyDeviceToHost, stream));
  REQUIRE(cudaStreamSynchronize(stream));
  EXPECT(out[0] == 15 && out[kCount - 1] == 15);
}

// Pageable memory: a source is taken at once, a target is written when the call returns.
void test_pageable_copies() {
  std::vector<int> source(kCount, 3);
  std::vector<int> target(kCount);
  int* values = nullptr;
  REQUIRE(cudaMalloc(&values, kBytes));
  const cudaStream_t stream = stream_of(cudaStreamNonBlocking);
  REQUIRE(cudaMemcpyAsync(values, source.data(), kBytes, cudaMemcpyHostToDevice, stream));
  source.assign(kCount, 9);
  launch(values, 1, stream);
  REQUIRE(cudaMemcpyAsync(target.data(), values, kBytes, cudaMemcpyDeviceToHost, stream));
  EXPECT(target == std::vector<int>(kCount, 7));
}

void test_stream_ordered_memory() {
  const cudaStream_t stream = stream_of(cudaStreamNonBlocking);
  int* const out = pinned();
  for (int round = 0; round < 3; ++round) {
    int* values = nullptr;
    REQUIRE(cudaMallocAsync(&values, kBytes, stream));
    REQUIRE(cudaMemsetAsync(values, 0, kBytes, stream));
    launch(values, round, stream);
    REQUIRE(cudaMemcpyAsync(out, values, kBytes, cudaMemcpyDeviceToHost, stream));
    REQUIRE(cudaFreeAsync(values, stream));
    REQUIRE(cudaStreamSynchronize(stream));
    EXPECT(out[kCount - 1] == round);
  }
}

// cudaFree and cudaFreeHost wait for the device.
void test_frees() {
  const cudaStream_t stream = stream_of(cudaStreamNonBlocking);
  int* const out = pinned();
  int* const in = pinned();
  int* values = nullptr;
  REQUIRE(cudaMalloc(&values, kBytes));
  for (int i = 0; i < kCount; ++i) in[i] = i;
  REQUIRE(cudaMemcpyAsync(values, in, kBytes, cudaMemcpyHostToDevice, stream));
  REQUIRE(cudaFreeHost(in));
  launch(values, 1, stream);
  REQUIRE(cudaMemcpyAsync(out, values, kBytes, cudaMemcpyDeviceToHost, stream));
  REQUIRE(cudaFree(values));
  for (int i = 0; i < kCount; ++i) EXPECT(out[i] == 2 * i + 1);
}

// The second thread polls its stream while the first waits for others, and both queue work.
void test_threads() {
  std::atomic<int> wrong = 0;
  const auto work = [&wrong](int seed) {
    const cudaStream_t stream = stream_of(cudaStreamNonBlocking);
    int* const out = pinned();
    int* values = nullptr;
    REQUIRE(cudaMalloc(&values, kBytes));
    for (int round = 0; round < 20; ++round) {
      REQUIRE(cudaMemsetAsync(values, 0, kBytes, stream));
      launch(values, seed, stream);
      launch(values, round, stream);
      REQUIRE(cudaMemcpyAsync(out, values, kBytes, cudaMemcpyDeviceToHost, stream));
      if (seed == 0) {
        while (cudaStreamQuery(stream) == cudaErrorNotReady) std::this_thread::yield();
      } else {
        REQUIRE(cudaStreamSynchronize(stream));
      }
      wrong += out[kCount - 1] != 2 * seed + round;
    }
  };
  std::thread other(work, 0);
  work(1);
  other.join();
  EXPECT(wrong == 0);
}

// Nobody asks for the work: a device does it all the same.
void test_unasked() {
  static std::atomic<bool> done;
  REQUIRE(cudaLaunchHostFunc(
      nullptr, [](void*) { done = true; }, nullptr));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!done && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT(done);
}

}  // namespace

int main() {
  test_events_order_streams();
  test_events();
  test_host_functions();
  test_default_stream();
  test_pageable_copies();
  test_stream_ordered_memory();
  test_frees();
  test_threads();
  test_unasked();
  return program::finish();
}
