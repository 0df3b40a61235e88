// CUB's primitives of blocks and warps, and its device-wide algorithms with their host code.
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include <cub/cub.cuh>

#include "tests/ptx/runtime/programs/expect.h"

namespace {

using program::download;
using program::upload;

constexpr int kThreads = 128;
constexpr int kKeys = 4;  // of each thread

struct Larger {
  template <typename T>
  __host__ __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

__host__ __device__ unsigned key_of(int value, unsigned thread, unsigned i) {
  return (static_cast<unsigned>(value) * 2654435761u) ^ (i * 40503u * thread);
}

__global__ void block_primitives(const int* in, int* scan, int* reduced, unsigned* keys,
                                 int* warp_scan) {
  using Scan = cub::BlockScan<int, kThreads>;
  using Reduce = cub::BlockReduce<int, kThreads>;
  using Sort = cub::BlockRadixSort<unsigned, kThreads, kKeys>;
  using WarpScan = cub::WarpScan<int>;
  __shared__ union {
    typename Scan::TempStorage scan;
    typename Reduce::TempStorage reduce;
    typename Sort::TempStorage sort;
    typename WarpScan::TempStorage warps[kThreads / 32];
  } storage;
  const int value = in[threadIdx.x];
  int result;
  Scan(storage.scan).ExclusiveSum(value, result);
  scan[threadIdx.x] = result;
  __syncthreads();
  result = Reduce(storage.reduce).Sum(value);
  if (threadIdx.x == 0) reduced[0] = result;
  __syncthreads();
  result = Reduce(storage.reduce).Reduce(value, Larger());
  if (threadIdx.x == 0) reduced[1] = result;
  __syncthreads();
  unsigned mine[kKeys];
  for (unsigned i = 0; i < kKeys; ++i) mine[i] = key_of(value, threadIdx.x, i);
  Sort(storage.sort).Sort(mine);
  for (unsigned i = 0; i < kKeys; ++i) keys[threadIdx.x * kKeys + i] = mine[i];
  __syncthreads();
  WarpScan(storage.warps[threadIdx.x / 32]).InclusiveSum(value, result);
  warp_scan[threadIdx.x] = result;
}

template <typename T>
T* room(size_t count) {
  T* pointer = nullptr;
  REQUIRE(cudaMalloc(&pointer, count * sizeof(T)));
  return pointer;
}

/// Calls an algorithm for the size of its scratch memory, then in earnest.
template <typename Algorithm>
void run(const Algorithm& algorithm) {
  size_t bytes = 0;
  REQUIRE(algorithm(nullptr, bytes));
  char* const scratch = room<char>(bytes + 1);
  REQUIRE(algorithm(scratch, bytes));
  REQUIRE(cudaDeviceSynchronize());
  REQUIRE(cudaFree(scratch));
}

void test_blocks(std::mt19937& random) {
  std::vector<int> in(kThreads);
  for (int& value : in) value = static_cast<int>(random() % 100);
  int* const scan = room<int>(kThreads);
  int* const reduced = room<int>(2);
  unsigned* const keys = room<unsigned>(kThreads * kKeys);
  int* const warp_scan = room<int>(kThreads);
  block_primitives<<<1, kThreads>>>(upload(in), scan, reduced, keys, warp_scan);
  std::vector<int> sums(kThreads);
  std::exclusive_scan(in.begin(), in.end(), sums.begin(), 0);
  EXPECT(download(scan, kThreads) == sums);
  EXPECT(download(reduced, 2) == (std::vector<int>{std::accumulate(in.begin(), in.end(), 0),
                                                   *std::max_element(in.begin(), in.end())}));
  std::vector<unsigned> sorted;
  for (unsigned t = 0; t < kThreads; ++t) {
    for (unsigned i = 0; i < kKeys; ++i) sorted.push_back(key_of(in[t], t, i));
  }
  std::sort(sorted.begin(), sorted.end());
  EXPECT(download(keys, sorted.size()) == sorted);
  for (auto warp = in.begin(); warp != in.end(); warp += 32) {
    std::inclusive_scan(warp, warp + 32, sums.begin() + (warp - in.begin()));
  }
  EXPECT(download(warp_scan, kThreads) == sums);
}

void test_scan_and_reduce(std::mt19937& random, int count) {
  std::vector<int> in(static_cast<size_t>(count));
  for (int& value : in) value = static_cast<int>(random() % 2000) - 1000;
  int* const values = upload(in);
  int* const out = room<int>(in.size());
  run([&](void* scratch, size_t& bytes) {
    return cub::DeviceScan::ExclusiveSum(scratch, bytes, values, out, count);
  });
  std::vector<int> sums(in.size());
  std::exclusive_scan(in.begin(), in.end(), sums.begin(), 0);
  EXPECT(download(out, in.size()) == sums);
  run([&](void* scratch, size_t& bytes) {
    return cub::DeviceReduce::Sum(scratch, bytes, values, out, count);
  });
  EXPECT(download(out, 1)[0] == std::accumulate(in.begin(), in.end(), 0));
  run([&](void* scratch, size_t& bytes) {
    return cub::DeviceReduce::Max(scratch, bytes, values, out, count);
  });
  EXPECT(download(out, 1)[0] == *std::max_element(in.begin(), in.end()));
}

void test_sort(std::mt19937& random, int count) {
  const auto size = static_cast<size_t>(count);
  std::vector<unsigned> keys(size);
  for (unsigned& key : keys) key = static_cast<unsigned>(random() % (count < 1000 ? 50 : 1u << 31));
  std::vector<int> order(size);
  std::iota(order.begin(), order.end(), 0);
  unsigned* const keys_in = upload(keys);
  unsigned* const keys_out = room<unsigned>(size);
  int* const values_in = upload(order);
  int* const values_out = room<int>(size);
  run([&](void* scratch, size_t& bytes) {
    return cub::DeviceRadixSort::SortPairs(scratch, bytes, keys_in, keys_out, values_in, values_out,
                                           count);
  });
  const auto by_key = [&](int a, int b) {
    return keys[static_cast<size_t>(a)] < keys[static_cast<size_t>(b)];
  };
  std::vector<int> sorted = order;
  std::stable_sort(sorted.begin(), sorted.end(), by_key);
  EXPECT(download(values_out, size) == sorted);

  std::vector<int> offsets{0};
  while (offsets.back() < count) {
    offsets.push_back(std::min(count, offsets.back() + static_cast<int>(random() % 900)));
  }
  const int segments = static_cast<int>(offsets.size()) - 1;
  int* const begins = upload(offsets);
  run([&](void* scratch, size_t& bytes) {
    return cub::DeviceSegmentedRadixSort::SortPairs(scratch, bytes, keys_in, keys_out, values_in,
                                                    values_out, count, segments, begins,
                                                    begins + 1);
  });
  sorted = order;
  for (size_t s = 0; s + 1 < offsets.size(); ++s) {
    std::stable_sort(sorted.begin() + offsets[s], sorted.begin() + offsets[s + 1], by_key);
  }
  EXPECT(download(values_out, size) == sorted);
}

void test_select(std::mt19937& random, int count) {
  const auto size = static_cast<size_t>(count);
  std::vector<int> in(size);
  std::vector<unsigned char> flags(size);
  std::vector<int> selected;
  for (size_t i = 0; i < size; ++i) {
    in[i] = static_cast<int>(random());
    flags[i] = random() % 3 == 0;
    if (flags[i]) selected.push_back(in[i]);
  }
  int* const out = room<int>(size);
  int* const found = room<int>(1);
  int* const values = upload(in);
  unsigned char* const chosen = upload(flags);
  run([&](void* scratch, size_t& bytes) {
    return cub::DeviceSelect::Flagged(scratch, bytes, values, chosen, out, found, count);
  });
  EXPECT(download(found, 1)[0] == static_cast<int>(selected.size()));
  EXPECT(download(out, selected.size()) == selected);
}

}  // namespace

int main() {
  std::mt19937 random(1);
  test_blocks(random);
  for (const int count : {1, 777, 20'000}) {
    test_scan_and_reduce(random, count);
    test_sort(random, count);
    test_select(random, count);
  }
  return program::finish();
}
