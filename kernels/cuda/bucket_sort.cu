// The stable sort by bucket: a counting sort by each digit of the bucket, the lowest first, in
// lists that are independent of each other. A block counts, and later places, a tile of one list;
// between the two, the counts of all tiles are added up in the order (digit, tile). Places follow
// from the counts alone, so no block waits for another, and the result is the only one there is.
#include <bit>

#include "kernels/cuda/ops.h"
#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {
namespace {

constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
/// Elements of a tile; each warp has consecutive ones.
constexpr int kStepsOfWarp = 8;
constexpr int kElementsOfWarp = kStepsOfWarp * kWarp;
constexpr int kTile = kWarps * kElementsOfWarp;
constexpr int kScanThreads = 1024;
static_assert(kDigits == kThreads, "each thread adds up one digit");

/// One digit of all lists.
struct DigitPass {
  const int32_t* bucket_of;  // [lists, T]
  const int32_t* from;       // [lists, T]: positions as the digits below sort them; null: 0, 1, …
  int32_t* to;               // [lists, T]
  int32_t* counts;           // [lists, kDigits, tiles], then how many elements go before these
  int64_t length;
  int64_t tiles;
  int shift;
};

struct TileOfList {
  int64_t list;
  int64_t tile;
};

__device__ TileOfList tile_of_block(const DigitPass& pass) {
  return {static_cast<int64_t>(blockIdx.x) / pass.tiles,
          static_cast<int64_t>(blockIdx.x) % pass.tiles};
}

__device__ int32_t position_at(const DigitPass& pass, int64_t list, int64_t element) {
  if (pass.from == nullptr) return static_cast<int32_t>(element);
  return pass.from[list * pass.length + element];
}

__device__ int digit_of(const DigitPass& pass, int64_t list, int32_t position) {
  const auto bucket = static_cast<uint32_t>(pass.bucket_of[list * pass.length + position]);
  return static_cast<int>(bucket >> pass.shift) % kDigits;
}

__global__ void __launch_bounds__(kThreads) count_digits(DigitPass pass) {
  __shared__ int32_t count[kDigits];
  const auto [list, tile] = tile_of_block(pass);
  count[threadIdx.x] = 0;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kTile / kThreads; ++i) {
    const int64_t element = tile * kTile + i * kThreads + threadIdx.x;
    if (element < pass.length) {
      atomicAdd(&count[digit_of(pass, list, position_at(pass, list, element))], 1);
    }
  }
  __syncthreads();
  pass.counts[(list * kDigits + threadIdx.x) * pass.tiles + tile] = count[threadIdx.x];
}

/// Replaces each of `count` numbers by the sum of those before it; one list for each block.
__global__ void __launch_bounds__(kScanThreads) sum_before(int32_t* numbers, int64_t count) {
  __shared__ int32_t of_warp[kScanThreads / kWarp];
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  numbers += blockIdx.x * count;
  int32_t carry = 0;
  for (int64_t first = 0; first < count; first += kScanThreads) {
    const int64_t at = first + threadIdx.x;
    const int32_t own = at < count ? numbers[at] : 0;
    const int32_t in_warp = inclusive_warp_sum(own);
    if (lane == kWarp - 1) of_warp[warp] = in_warp;
    __syncthreads();
    if (warp == 0) of_warp[lane] = inclusive_warp_sum(of_warp[lane]);
    __syncthreads();
    if (at < count) numbers[at] = carry + (warp == 0 ? 0 : of_warp[warp - 1]) + in_warp - own;
    carry += of_warp[kScanThreads / kWarp - 1];
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kThreads) place_elements(DigitPass pass) {
  __shared__ int32_t count[kWarps][kDigits];  // then how many of the tile go before those of a warp
  __shared__ int32_t before_tile[kDigits];
  const auto [list, tile] = tile_of_block(pass);
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) count[w][threadIdx.x] = 0;
  before_tile[threadIdx.x] = pass.counts[(list * kDigits + threadIdx.x) * pass.tiles + tile];
  __syncthreads();
  const int64_t first = tile * kTile + warp * kElementsOfWarp + lane;
  int32_t position[kStepsOfWarp];
  int digit[kStepsOfWarp];
  unsigned peers[kStepsOfWarp];
#pragma unroll
  for (int i = 0; i < kStepsOfWarp; ++i) {
    const int64_t element = first + i * kWarp;
    const bool inside = element < pass.length;
    position[i] = inside ? position_at(pass, list, element) : -1;
    digit[i] = inside ? digit_of(pass, list, position[i]) : -1;
    peers[i] = __match_any_sync(kFullWarp, digit[i]);
    if (inside && lane == __ffs(peers[i]) - 1) count[warp][digit[i]] += __popc(peers[i]);
    __syncwarp();
  }
  __syncthreads();
  int32_t sum = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    const int32_t of_warp = count[w][threadIdx.x];
    count[w][threadIdx.x] = sum;
    sum += of_warp;
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kStepsOfWarp; ++i) {
    if (digit[i] >= 0) {
      const int earlier = __popc(peers[i] & ((1u << lane) - 1));
      const int32_t place = before_tile[digit[i]] + count[warp][digit[i]] + earlier;
      pass.to[list * pass.length + place] = position[i];
    }
    __syncwarp();
    if (digit[i] >= 0 && lane == __ffs(peers[i]) - 1) {
      count[warp][digit[i]] += __popc(peers[i]);
    }
    __syncwarp();
  }
}

/// bucket_begin[b] = the first slot whose bucket is b or more. Each slot writes the buckets that
/// end where it begins.
__global__ void __launch_bounds__(kThreads)
    find_bucket_begins(const int32_t* bucket_of, const int32_t* order, int64_t length,
                       int64_t slots_of_grid, int64_t num_buckets, int32_t* bucket_begin) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t list = index / slots_of_grid;
  const int64_t slot = index % slots_of_grid;
  if (slot > length) return;
  bucket_of += list * length;
  order += list * length;
  bucket_begin += list * (num_buckets + 2);
  const int64_t before = slot == 0 ? -1 : bucket_of[order[slot - 1]];
  const int64_t here = slot == length ? num_buckets + 1 : bucket_of[order[slot]];
  for (int64_t b = before + 1; b <= here; ++b) bucket_begin[b] = static_cast<int32_t>(slot);
}

void check_sort(const BucketSortArgs& args) {
  const Shape& shape = args.bucket_of.shape();
  CHECK_EQ(shape.rank(), 4);
  CHECK_LT(shape[3], (int64_t{1} << 31) - kTile);
  CHECK(args.num_buckets >= 1 && args.num_buckets < (int64_t{1} << 31) - 2);
  check_view(args.bucket_of, DType::kInt32, shape);
  check_view(args.order, DType::kInt32, shape);
  check_view(args.bucket_begin, DType::kInt32,
             {shape[0], shape[1], shape[2], args.num_buckets + 2});
}

dim3 grid_of(int64_t blocks) {
  return dim3(static_cast<unsigned>(blocks));
}

}  // namespace

void bucket_sort(Runtime& runtime, const BucketSortArgs& args) {
  check_sort(args);
  const Shape& shape = args.bucket_of.shape();
  const int64_t lists = shape[0] * shape[1] * shape[2];
  const int64_t length = shape[3];
  const int64_t tiles = divide_up(length, kTile);
  const int bits = std::bit_width(static_cast<uint64_t>(args.num_buckets));
  const auto passes = static_cast<int>(divide_up(bits, kDigitBits));
  const Workspace::Mark mark(runtime.workspace());
  const View counts = runtime.workspace().allocate(DType::kInt32, {lists, kDigits, tiles});
  const View other =
      passes > 1 ? runtime.workspace().allocate(DType::kInt32, {lists, length}) : View();
  DigitPass pass{.bucket_of = args.bucket_of.data<int32_t>(),
                 .from = nullptr,
                 .to = nullptr,
                 .counts = counts.data<int32_t>(),
                 .length = length,
                 .tiles = tiles,
                 .shift = 0};
  for (int i = 0; i < passes; ++i) {
    // The last pass writes `order`, and those before it take turns.
    pass.to = ((passes - i) % 2 == 1 ? args.order : other).data<int32_t>();
    launch(runtime, count_digits, grid_of(lists * tiles), dim3(kThreads), 0, pass);
    launch(runtime, sum_before, grid_of(lists), dim3(kScanThreads), 0, pass.counts,
           kDigits * tiles);
    launch(runtime, place_elements, grid_of(lists * tiles), dim3(kThreads), 0, pass);
    pass.from = pass.to;
    pass.shift += kDigitBits;
  }
  // One more than the slots, rounded up so that a block has one list.
  const int64_t slots_of_grid = divide_up(length + 1, kThreads) * kThreads;
  launch(runtime, find_bucket_begins, grid_of(lists * slots_of_grid / kThreads), dim3(kThreads), 0,
         args.bucket_of.data<int32_t>(), args.order.data<int32_t>(), length, slots_of_grid,
         args.num_buckets, args.bucket_begin.data<int32_t>());
}

}  // namespace reformer::cuda
