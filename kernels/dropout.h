// Which elements an op drops: a function of coordinates in the global batch.
#pragma once

#include <cstdint>

#include "kernels/core/philox.h"

namespace reformer {

/// Inverted dropout: each element is kept with probability 1 − rate and then divided by it.
/// Element (row, column) of a [rows, width] activation is decided by word (column % 4) of
///   philox(key, {column / 4, position, sample, 0}),  kept iff word >= rate · 2^32,
/// with the global position and sample of the row.
struct Dropout {
  float rate = 0;  // in [0, 1)
  PhiloxKey key;

  bool enabled() const { return rate > 0; }
  /// Words below this drop their element.
  uint32_t threshold() const { return static_cast<uint32_t>(static_cast<double>(rate) * 0x1p32); }
  float scale() const { return 1.0f / (1.0f - rate); }
};

}  // namespace reformer
