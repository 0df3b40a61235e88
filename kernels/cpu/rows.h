// What the ops on [rows, width] activations share: how rows become tasks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/thread_pool.h"
#include "kernels/op_checks.h"
#include "kernels/token_layout.h"

namespace reformer::cpu {

/// dtype dispatch: f(uint32_t*) or f(float*) with the elements of a residual stream.
template <typename F>
void with_stream_elements(const View& stream, const F& f) {
  if (stream.dtype() == DType::kFixed32) {
    f(stream.data<uint32_t>());
  } else {
    f(stream.data<float>());
  }
}

/// Calls body(begin, end) for blocks of consecutive rows that together are [begin, end), in
/// parallel. A block of 64 KiB of floats stays in the cache of its core for
/// several walks, and is work enough for one task.
template <typename Body>
void for_row_blocks(ThreadPool& pool, int64_t begin, int64_t end, int64_t width, const Body& body) {
  constexpr int64_t kBlockElements = 16384;
  const int64_t rows = std::max<int64_t>(1, kBlockElements / std::max<int64_t>(1, width));
  pool.parallel_for((end - begin + rows - 1) / rows, [&](int64_t block, int) {
    const int64_t first = begin + block * rows;
    body(first, std::min(first + rows, end));
  });
}

/// Calls body(begin, end) with the rows of each leaf, or of the part of it that `layout` holds, in
/// the order of the rows.
template <typename Body>
void for_leaves(const TokenLayout& layout, const Body& body) {
  for (int64_t sample = 0; sample < layout.samples; ++sample) {
    for (int64_t token = 0; token < layout.length;) {
      const int64_t position = layout.first_position + token;
      const int64_t next = std::min(token + layout.leaf - position % layout.leaf, layout.length);
      body(sample * layout.length + token, sample * layout.length + next);
      token = next;
    }
  }
}

}  // namespace reformer::cpu
