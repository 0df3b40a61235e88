// Rows of any dtype, copied as words of up to 16 bytes.
#include <cstdint>
#include <limits>
#include <numeric>

#include "kernels/cuda/ops.h"
#include "kernels/cuda/primitives.cuh"
#include "kernels/op_checks.h"

namespace reformer::cuda {
namespace {

constexpr int kThreads = 256;

template <typename Word>
__global__ void __launch_bounds__(kThreads)
    copy_rows(const Word* x, const int32_t* index, uint32_t words_of_row, uint32_t count, Word* y) {
  const uint32_t at = blockIdx.x * kThreads + threadIdx.x;
  if (at >= count) return;
  const int64_t from = index[at / words_of_row];
  y[at] = from < 0 ? Word{} : x[from * words_of_row + at % words_of_row];
}

}  // namespace

void gather_rows(Runtime& runtime, const GatherRowsArgs& args) {
  check_gather_rows(args);
  const auto row_bytes = static_cast<uint64_t>(args.x.shape()[1]) * size_of(args.x.dtype());
  // Rows of both begin at multiples of this.
  const uint64_t alignment =
      std::gcd(std::gcd(row_bytes, uint64_t{16}), reinterpret_cast<uintptr_t>(args.x.raw()) |
                                                      reinterpret_cast<uintptr_t>(args.y.raw()));
  const auto copy = [&](auto word) {
    using Word = decltype(word);
    const auto words = static_cast<uint32_t>(row_bytes / sizeof(Word));
    const int64_t count = args.y.shape()[0] * words;
    CHECK_LE(count, int64_t{std::numeric_limits<int32_t>::max()});
    launch(runtime, copy_rows<Word>, dim3(static_cast<unsigned>(divide_up(count, kThreads))),
           dim3(kThreads), 0, static_cast<const Word*>(args.x.raw()), args.index.data<int32_t>(),
           words, static_cast<uint32_t>(count), static_cast<Word*>(args.y.raw()));
  };
  switch (alignment) {
    case 16:
      return copy(uint4{});
    case 8:
      return copy(uint2{});
    case 4:
      return copy(uint32_t{});
    case 2:
      return copy(uint16_t{});
    default:
      return copy(uint8_t{});
  }
}

}  // namespace reformer::cuda
