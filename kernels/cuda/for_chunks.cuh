// Kernels that do the same for every chunk of a matrix, with a thread for each.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/cuda/chunk.cuh"

namespace reformer::cuda {

inline constexpr int kChunkThreads = 256;

/// A matrix cut into chunks.
struct ChunkGrid {
  int64_t width;
  uint32_t per_row;
  uint32_t count;
  bool whole;
};

struct ChunkPosition {
  int64_t at;  // of the chunk's first element
  uint32_t row;
  uint32_t column;
  int count;  // elements of the chunk
  bool whole;
};

/// Calls body(position) for every chunk of Body::kChunk elements.
template <typename Body>
__global__ void __launch_bounds__(kChunkThreads)
    for_chunks_kernel(ChunkGrid grid, const __grid_constant__ Body body) {
  const uint32_t index = blockIdx.x * kChunkThreads + threadIdx.x;
  if (index >= grid.count) return;
  const uint32_t row = index / grid.per_row;
  const uint32_t column = (index - row * grid.per_row) * Body::kChunk;
  const int64_t rest = grid.width - column;
  body(ChunkPosition{.at = row * grid.width + column,
                     .row = row,
                     .column = column,
                     .count = rest < Body::kChunk ? static_cast<int>(rest) : Body::kChunk,
                     .whole = grid.whole});
}

/// The same for a matrix [rows, width]; `whole` as whole_chunks() says it of all that the body
/// accesses by chunks.
template <typename Body>
void for_chunks(Runtime& runtime, int64_t rows, int64_t width, bool whole, const Body& body) {
  const int64_t per_row = divide_up(width, Body::kChunk);
  CHECK_LE(width, int64_t{std::numeric_limits<int32_t>::max()});
  CHECK_LE(rows * per_row, int64_t{std::numeric_limits<int32_t>::max()});
  const ChunkGrid grid{.width = width,
                       .per_row = static_cast<uint32_t>(per_row),
                       .count = static_cast<uint32_t>(rows * per_row),
                       .whole = whole};
  launch(runtime, for_chunks_kernel<Body>,
         dim3(static_cast<uint32_t>(divide_up(grid.count, kChunkThreads))), dim3(kChunkThreads), 0,
         grid, body);
}

}  // namespace reformer::cuda
