// The two residual streams of a reversible network.
#pragma once

#include "trainer/model/pass.h"

namespace reformer {

/// The streams, or their gradients: [rows, width] each.
struct Streams {
  View x1;
  View x2;

  Streams rows(int64_t begin, int64_t end) const {
    return {x1.rows(begin, end), x2.rows(begin, end)};
  }
};

/// On the pass's arena; contents undefined. `dtype`: spec.stream_dtype, or Float32 for gradients.
inline Streams allocate_streams(const Pass& pass, DType dtype) {
  const Shape shape{pass.layout.rows(), pass.spec.width};
  return {pass.arena.allocate(dtype, shape, MemoryUse::kStreams),
          pass.arena.allocate(dtype, shape, MemoryUse::kStreams)};
}

}  // namespace reformer
