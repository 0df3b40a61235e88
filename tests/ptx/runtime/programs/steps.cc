// What the stand-in runtime offers to other stand-in libraries (stream_steps.h), used as one of
// them would, which are loaded with it.
#include <atomic>
#include <string>
#include <thread>

#include <dlfcn.h>

#include "tests/ptx/runtime/programs/expect.h"

namespace {

using StepFunction = int (*)(void*);

const auto kEnqueue = reinterpret_cast<int (*)(cudaStream_t, StepFunction, void*)>(
    dlsym(RTLD_DEFAULT, "ptxStreamEnqueue"));
const auto kHostPointer =
    reinterpret_cast<void* (*)(const void*, size_t, int)>(dlsym(RTLD_DEFAULT, "ptxHostPointer"));

constexpr size_t kBytes = 4096;

cudaStream_t make_stream() {
  cudaStream_t stream;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return stream;
}

/// One side of an exchange between two streams: is done when both sides have come.
struct Exchange {
  std::atomic<int> arrived = 0;
};

struct Side {
  Exchange* exchange = nullptr;
  bool here = false;
};

int meet(void* state) {
  auto* const side = static_cast<Side*>(state);
  if (!side->here) ++side->exchange->arrived;
  side->here = true;
  return side->exchange->arrived == 2 ? 1 : 0;
}

// Two threads, each of which waits for its own stream.
void test_threads_meet() {
  Exchange exchange;
  Side sides[2] = {{&exchange}, {&exchange}};
  const auto work = [&](int i) {
    const cudaStream_t stream = make_stream();
    EXPECT(kEnqueue(stream, meet, &sides[i]) == 0);
    REQUIRE(cudaStreamSynchronize(stream));
    EXPECT(exchange.arrived == 2);
  };
  std::thread other(work, 1);
  work(0);
  other.join();
}

// One thread, which polls the first stream, whose step needs the second.
void test_polling() {
  Exchange exchange;
  Side sides[2] = {{&exchange}, {&exchange}};
  const cudaStream_t first = make_stream();
  const cudaStream_t second = make_stream();
  EXPECT(kEnqueue(first, meet, &sides[0]) == 0);
  EXPECT(kEnqueue(second, meet, &sides[1]) == 0);
  while (cudaStreamQuery(first) == cudaErrorNotReady) std::this_thread::yield();
  REQUIRE(cudaDeviceSynchronize());
}

// Somebody else ends the wait, in his own time, while the host is kept by a long operation.
void test_late_partner() {
  std::atomic<bool> ready = false;
  const auto wait = [](void* state) {
    return static_cast<std::atomic<bool>*>(state)->load() ? 1 : 0;
  };
  const cudaStream_t stream = make_stream();
  EXPECT(kEnqueue(stream, wait, &ready) == 0);
  EXPECT(cudaStreamQuery(stream) == cudaErrorNotReady);
  std::thread partner([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ready = true;
  });
  REQUIRE(cudaStreamSynchronize(stream));
  EXPECT(ready);
  partner.join();
}

void test_host_pointers() {
  char* device = nullptr;
  REQUIRE(cudaMalloc(&device, kBytes));
  EXPECT(kHostPointer(device, kBytes, 0) == nullptr);  // unwritten
  auto* const host = static_cast<char*>(kHostPointer(device, kBytes / 2, 1));
  EXPECT(host != nullptr && host != device);
  std::memset(host, 5, kBytes / 2);
  EXPECT(kHostPointer(device, kBytes / 2, 0) == host);
  EXPECT(kHostPointer(device, kBytes / 2 + 1, 0) == nullptr);
  EXPECT(kHostPointer(device + kBytes - 1, 2, 1) == nullptr);
  char result = 0;
  REQUIRE(cudaMemcpy(&result, device + 7, 1, cudaMemcpyDeviceToHost));
  EXPECT(result == 5);
}

void test_failure() {
  const cudaStream_t stream = make_stream();
  EXPECT(kEnqueue(
             stream, [](void*) { return -1; }, nullptr) == 0);
  EXPECT(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
  EXPECT(kEnqueue(stream, meet, nullptr) == cudaErrorLaunchFailure);
}

}  // namespace

int main() {
  test_threads_meet();
  test_polling();
  test_late_partner();
  test_host_pointers();
  test_failure();
  return program::finish();
}
