// Blocks and warps that wait for each other.
#include <cooperative_groups.h>

#include "tests/ptx/runtime/programs/expect.h"

namespace {

namespace cg = cooperative_groups;
using program::download;
using program::upload;

__global__ void reverse_twice(int* values, int* scratch) {
  const auto grid = cg::this_grid();
  const int count = static_cast<int>(gridDim.x * blockDim.x);
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  values[i] = i;
  grid.sync();
  scratch[i] = values[count - 1 - i];
  grid.sync();
  values[i] = scratch[(i + 77) % count];
}

/// Blocks take turns, the last one first.
__global__ void chain(volatile int* turn, int* order) {
  if (threadIdx.x > 0) return;
  const int mine = static_cast<int>(gridDim.x - 1 - blockIdx.x);
  while (*turn != mine) {
  }
  __threadfence();
  order[mine] = static_cast<int>(blockIdx.x);
  __threadfence();
  *turn = mine + 1;
}

__global__ void locked_count(int* lock, volatile int* count, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    for (bool done = false; !done;) {
      if (atomicCAS(lock, 0, 1) == 0) {
        __threadfence();
        *count = *count + 1;
        __threadfence();
        atomicExch(lock, 0);
        done = true;
      } else {
        __nanosleep(20);
      }
    }
  }
}

__global__ void wait_for_warp(int* out) {
  __shared__ volatile int flag;
  if (threadIdx.x == 0) flag = 0;
  __syncthreads();
  if (threadIdx.x < 32) {
    if (threadIdx.x == 0) {
      while (flag != 5) {
      }
    }
    __syncwarp();
    out[threadIdx.x] = flag;
  } else if (threadIdx.x == 32) {
    flag = 5;
  }
}

__global__ void named_barrier(int* out) {
  __shared__ int shared[64];
  const int i = static_cast<int>(threadIdx.x);
  if (i < 64) {
    shared[i] = i * 3;
    asm volatile("bar.arrive 1, 128;" ::: "memory");
  } else {
    asm volatile("bar.sync 1, 128;" ::: "memory");
    out[i - 64] = shared[i - 64];
  }
}

void test_grid_sync() {
  constexpr int kCount = 8 * 64;
  int* const values = upload(std::vector<int>(kCount));
  int* scratch = upload(std::vector<int>(kCount));
  int* first = values;
  void* arguments[] = {&first, &scratch};
  REQUIRE(cudaLaunchCooperativeKernel(reverse_twice, 8, 64, arguments, 0, nullptr));
  const std::vector<int> result = download(values, kCount);
  for (int i = 0; i < kCount; ++i) {
    EXPECT(result[static_cast<size_t>(i)] == kCount - 1 - (i + 77) % kCount);
  }
  EXPECT(cudaLaunchCooperativeKernel(reverse_twice, 100'000, 64, arguments, 0, nullptr) ==
         cudaErrorCooperativeLaunchTooLarge);
  cudaGetLastError();
}

void test_chain() {
  int* const turn = upload(std::vector<int>(1));
  int* const order = upload(std::vector<int>(12));
  chain<<<12, 32>>>(turn, order);
  const std::vector<int> result = download(order, 12);
  for (int i = 0; i < 12; ++i) EXPECT(result[static_cast<size_t>(i)] == 11 - i);
}

void test_lock() {
  int* const words = upload(std::vector<int>(2));
  locked_count<<<6, 64>>>(words, words + 1, 3);
  EXPECT(download(words, 2)[1] == 6 * 64 * 3);
}

void test_warps() {
  int* const out = upload(std::vector<int>(64));
  wait_for_warp<<<1, 64>>>(out);
  EXPECT(download(out, 32) == std::vector<int>(32, 5));
  named_barrier<<<1, 128>>>(out);
  EXPECT(download(out, 64)[63] == 189);
}

}  // namespace

int main() {
  test_grid_sync();
  test_chain();
  test_lock();
  test_warps();
  return program::finish();
}
