#include "trainer/gemm_rate.h"

#include <algorithm>
#include <chrono>

namespace reformer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

double measure_gemm_rate(Backend& backend) {
  constexpr int64_t kRows = 4096;
  constexpr int64_t kNarrow = 256;
  constexpr int64_t kWide = 1024;
  constexpr double kSeconds = 0.25;
  const auto bytes =
      static_cast<size_t>((kRows * (kNarrow + kWide) + kNarrow * kWide) * 4 + (1 << 12));
  const std::unique_ptr<Arena> arena = backend.make_arena(bytes);
  const auto allocate = [&](int64_t rows, int64_t columns) {
    const View view = arena->allocate(DType::kFloat32, {rows, columns}, MemoryUse::kBlock);
    backend.fill_zero(view);
    return view;
  };
  const LinearArgs product{.layout = {.samples = 1, .length = kRows},
                           .x = allocate(kRows, kNarrow),
                           .weight = allocate(kNarrow, kWide),
                           .bias = {},
                           .y = allocate(kRows, kWide)};
  double best = 0;
  const Clock::time_point start = Clock::now();
  do {
    const Clock::time_point before = Clock::now();
    backend.linear(product);
    backend.synchronize();
    best = std::max(best, 2.0 * kRows * kNarrow * kWide / seconds_since(before));
  } while (seconds_since(start) < kSeconds);
  return best;
}

}  // namespace reformer
