// CUB's block-wide sort and scan.
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_scan.cuh>

extern "C" __global__ void sort(const unsigned* keys, unsigned* sorted, int* places) {
  using Sort = cub::BlockRadixSort<unsigned, 128, 4, int>;
  __shared__ typename Sort::TempStorage storage;
  unsigned own[4];
  int place[4];
  for (int i = 0; i < 4; ++i) {
    place[i] = static_cast<int>(threadIdx.x) * 4 + i;
    own[i] = keys[blockIdx.x * 512 + place[i]];
  }
  Sort(storage).Sort(own, place);
  for (int i = 0; i < 4; ++i) {
    sorted[blockIdx.x * 512 + threadIdx.x * 4 + i] = own[i];
    places[blockIdx.x * 512 + threadIdx.x * 4 + i] = place[i];
  }
}

extern "C" __global__ void scan(const int* values, int* sums) {
  using Scan = cub::BlockScan<int, 128>;
  __shared__ typename Scan::TempStorage storage;
  const unsigned i = blockIdx.x * 128 + threadIdx.x;
  int sum = 0;
  Scan(storage).ExclusiveSum(values[i], sum);
  sums[i] = sum;
}
