// A row and the threads that work on it together: a warp for short rows, a block for long ones. Who
// has which columns, and so the order of every sum, depends on the row's width alone.
#pragma once

#include <cstdint>

#include "kernels/cuda/chunk.cuh"

namespace reformer::cuda {

/// Rows longer than this get a block each.
inline constexpr int64_t kWarpRow = 1024;
inline constexpr int kWarpsPerBlock = 4;  // of rows with a warp each
inline constexpr int kBlockTeam = 256;

/// A team of kSize threads: a warp, or a whole block of kBlockTeam.
template <int kTeamSize>
struct RowTeam {
  static constexpr int kSize = kTeamSize;
  static constexpr bool kIsWarp = kSize == kWarp;
  static constexpr int kWarps = kSize / kWarp;
  static constexpr int kThreads = kIsWarp ? kWarp * kWarpsPerBlock : kSize;  // of a block
  static constexpr int kRowsPerBlock = kThreads / kSize;
  static constexpr int kResidentBlocks = kIsWarp ? 3 : 2;  // of a multiprocessor
  /// Columns that a thread keeps in registers between two walks over a row.
  static constexpr int kHeld = kIsWarp ? kWarpRow / kWarp : 16;

  static __device__ int64_t row() {
    return int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kSize;
  }
  static __device__ int thread() { return static_cast<int>(threadIdx.x % kSize); }

  /// combine(a, b) of all threads' values, in a fixed order, on every thread. `value.from_lane(d)`
  /// is that of the lane whose number differs in bit d.
  template <typename V, typename Combine>
  static __device__ V reduce(V value, const Combine& combine) {
#pragma unroll
    for (int distance = kWarp / 2; distance > 0; distance /= 2) {
      value = combine(value, value.from_lane(distance));
    }
    if constexpr (!kIsWarp) {
      __shared__ V of_warp[kWarps];
      __syncthreads();  // those of the reduction before have been read
      if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
      __syncthreads();
      value = of_warp[0];
#pragma unroll
      for (int warp = 1; warp < kWarps; ++warp) value = combine(value, of_warp[warp]);
    }
    return value;
  }

  static __device__ float sum(float value) {
    return reduce(Number{value}, [](Number a, Number b) { return Number{a.value + b.value}; })
        .value;
  }

 private:
  struct Number {
    float value;
    __device__ Number from_lane(int distance) const {
      return {__shfl_xor_sync(kFullWarp, value, distance)};
    }
  };
};

/// The columns of one row that a thread of a team has, a chunk of N after the other; the first of
/// them in registers.
template <typename Team, int N, typename T>
class RowReader {
 public:
  static constexpr int kHeldChunks = Team::kHeld / N;

  __device__ RowReader(const T* row, int64_t width, bool whole)
      : row_(row), width_(width), whole_(whole) {
#pragma unroll
    for (int k = 0; k < kHeldChunks; ++k) {
      const int column = first() + k * kStride;
      if (column < width_) load_chunk(row_ + column, count(column), whole_, held_[k]);
    }
  }

  /// body(column, count, values) for every chunk.
  template <typename Body>
  __device__ void each(const Body& body) const {
#pragma unroll
    for (int k = 0; k < kHeldChunks; ++k) {
      const int column = first() + k * kStride;
      if (column < width_) body(column, count(column), held_[k]);
    }
    for (int column = first() + kHeldChunks * kStride; column < width_; column += kStride) {
      float values[N];
      load_chunk(row_ + column, count(column), whole_, values);
      body(column, count(column), values);
    }
  }

  /// The same with the chunks of another row of this width.
  template <typename Other, typename Body>
  __device__ void each_with(const RowReader<Team, N, Other>& other, const Body& body) const {
#pragma unroll
    for (int k = 0; k < kHeldChunks; ++k) {
      const int column = first() + k * kStride;
      if (column < width_) body(column, count(column), held_[k], other.held_[k]);
    }
    for (int column = first() + kHeldChunks * kStride; column < width_; column += kStride) {
      float values[N];
      float others[N];
      load_chunk(row_ + column, count(column), whole_, values);
      load_chunk(other.row_ + column, count(column), whole_, others);
      body(column, count(column), values, others);
    }
  }

 private:
  template <typename, int, typename>
  friend class RowReader;

  static constexpr int kStride = Team::kSize * N;

  static __device__ int first() {
    return Team::thread() * N;
  }
  __device__ int count(int column) const {
    const int64_t rest = width_ - column;
    return rest < N ? static_cast<int>(rest) : N;
  }

  const T* row_;
  int64_t width_;
  bool whole_;
  float held_[kHeldChunks][N];
};

/// Launches kernel<Team> with a team for each of `rows` rows: pick(team) gives the kernel.
template <typename Pick, typename... Arguments>
void launch_teams(Runtime& runtime, int64_t rows, int64_t width, const Pick& pick,
                  Arguments&&... arguments) {
  const auto with = [&](auto team) {
    using Team = decltype(team);
    launch(runtime, pick(team), dim3(static_cast<uint32_t>(divide_up(rows, Team::kRowsPerBlock))),
           dim3(Team::kThreads), 0, std::forward<Arguments>(arguments)...);
  };
  if (width <= kWarpRow) {
    with(RowTeam<kWarp>{});
  } else {
    with(RowTeam<kBlockTeam>{});
  }
}

}  // namespace reformer::cuda
