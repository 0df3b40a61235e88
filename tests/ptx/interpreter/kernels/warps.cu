// Work of whole warps and parts of them.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

namespace groups = cooperative_groups;

extern "C" __global__ void shuffle(const int* a, int* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  const int v = a[i];
  const int down = __shfl_down_sync(~0U, v, 3);
  const int any_lane = __shfl_sync(~0U, v, (threadIdx.x * 7) & 31);
  const int up = __shfl_up_sync(~0U, v, 2, 16);
  const unsigned odd = __ballot_sync(~0U, v & 1);
  const int any = __any_sync(~0U, v > 1000), all = __all_sync(~0U, v >= 0);
  out[i] = down * 3 + any_lane * 5 + up * 7 + static_cast<int>(odd) + any * 11 + all * 13 +
           __popc(odd) + __ffs(static_cast<int>(odd)) + __clz(static_cast<int>(odd));
}

// Both halves of each warp shuffle by themselves; then a loop of as many rounds as each lane wants.
extern "C" __global__ void part(const int* a, int* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  int v = a[i], result = 0;
  if ((threadIdx.x & 31) < 16) {
    result = __shfl_xor_sync(0x0000ffffU, v, 8);
  } else {
    result = __shfl_xor_sync(0xffff0000U, v, 4) * 2;
  }
  __syncwarp();
  int rounds = 0;
  while (v > 0) {
    v -= static_cast<int>(threadIdx.x % 5) + 1;
    if (++rounds > 1000) break;
  }
  out[i] = result + rounds;
}

extern "C" __global__ void softmax(const float* x, float* y, int n) {
  const auto block = groups::this_thread_block();
  const auto warp = groups::tiled_partition<32>(block);
  __shared__ float of_warp[32];
  const float* row = x + blockIdx.x * static_cast<unsigned>(n);
  float most = -INFINITY;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
    most = fmaxf(most, row[i]);
  most = groups::reduce(warp, most, groups::greater<float>());
  if (warp.thread_rank() == 0) of_warp[warp.meta_group_rank()] = most;
  block.sync();
  for (unsigned i = 0; i < blockDim.x / 32; ++i) most = fmaxf(most, of_warp[i]);
  block.sync();
  float total = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
    total += __expf(row[i] - most);
  total = groups::reduce(warp, total, groups::plus<float>());
  if (warp.thread_rank() == 0) of_warp[warp.meta_group_rank()] = total;
  block.sync();
  total = 0;
  for (unsigned i = 0; i < blockDim.x / 32; ++i) total += of_warp[i];
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
    y[blockIdx.x * static_cast<unsigned>(n) + static_cast<unsigned>(i)] =
        __expf(row[i] - most) / total;
  }
}

// Every block adds its number, then all read the sum after a barrier of the grid.
extern "C" __global__ void meet(int* total, int* out) {
  const auto grid = groups::this_grid();
  if (threadIdx.x == 0) atomicAdd(total, static_cast<int>(blockIdx.x));
  grid.sync();
  if (threadIdx.x == 0) out[blockIdx.x] = *total;
}

// What a barrier counts; reductions and matches of a warp.
extern "C" __global__ void agree(const int* a, int* out) {
  const unsigned i = threadIdx.x;
  const int odd = __syncthreads_count(a[i] & 1);
  const int any = __syncthreads_or(a[i] == 77777), all = __syncthreads_and(a[i] >= 0);
  const int total = __reduce_add_sync(~0U, a[i]), most = __reduce_max_sync(~0U, a[i]);
  const unsigned equal = __match_any_sync(~0U, a[i] & 3);
  out[i] = odd * 7 + any * 3 + all * 5 + total + most * 2 + __popc(equal) * 11;
}
