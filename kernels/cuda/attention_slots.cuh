// Who sees whom, on the device: rows of slots in shared memory.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/backend.h"
#include "kernels/cuda/attention_tables.cuh"
#include "kernels/cuda/primitives.cuh"
#include "kernels/lsh_layout.h"

namespace reformer::cuda::simt {

/// kLocal: score = q·k / √D, and the queries carry the factor.
inline float query_scale(const AttentionPattern& pattern) {
  if (has_shared_query_key(pattern.kind)) return 1.0f;
  return 1.0f / std::sqrt(static_cast<float>(pattern.head_dim));
}

enum class Side : uint8_t { kQuery, kKey };

/// `token` of a row that is not there.
inline constexpr int32_t kNoToken = -1;
/// `bound` of a key that nobody sees.
inline constexpr int32_t kHiddenKey = kMaskedPosition;
/// `bound` of a query that sees later positions too.
inline constexpr int32_t kNoBound = kHiddenKey - 1;
/// `bound` of a query that sees nothing.
inline constexpr int32_t kBlindQuery = -1;

/// Rows of one side in shared memory. A query sees a key iff one is in the other's reach (see
/// SlotReach), key.bound <= query.bound and key.bound != query.excluded.
template <int kRows>
struct SlotRows {
  alignas(16) int32_t token[kRows];     // its row in the activations of its sample
  alignas(16) int32_t position[kRows];  // of a token that is not masked
  alignas(16) int32_t bound[kRows];     // of a key its position
  alignas(16) int32_t excluded[kRows];  // queries only
  alignas(16) int32_t round[kRows];     // queries only
  alignas(16) float scale[kRows];       // of the row's vector in scores
  alignas(16) float offset[kRows];      // queries only: subtracted from scores before exp
  alignas(16) float delta[kRows];       // queries only: gradient of the output times the output

  __device__ void set_absent(int row, Side side) {
    token[row] = kNoToken;
    position[row] = kNoToken;
    bound[row] = side == Side::kQuery ? kBlindQuery : kHiddenKey;
    excluded[row] = kNoToken;
    round[row] = 0;
    scale[row] = 0;
    offset[row] = 0;
    delta[row] = 0;
  }

  /// Fills a row but for scale, offset and delta; returns its token.
  __device__ int32_t set_slot(int row, Side side, const AttentionPattern& pattern,
                              const RoundSlots& slots, int slot) {
    const int32_t at = slots.row(slot);
    const bool masked = at < 0;
    token[row] = masked ? ~at : at;
    position[row] = *slots.position(slot);
    if (side == Side::kKey) {
      bound[row] = masked ? kHiddenKey : position[row];
    } else {
      bound[row] = masked ? kBlindQuery : pattern.causal ? position[row] : kNoBound;
      excluded[row] = has_shared_query_key(pattern.kind) ? position[row] : kNoToken;
      round[row] = slots.round(slot);
    }
    return token[row];
  }
};

/// The slots of the other side that rows see or are seen from, in shared memory.
template <int kRows>
struct SlotReach {
  alignas(16) int32_t low[kRows];
  alignas(16) int32_t high[kRows];

  __device__ void set(int row, Side side, const RoundSlots& slots, int slot) {
    const int2 range = side == Side::kQuery ? slots.seen(slot) : slots.seeing(slot);
    low[row] = range.x;
    high[row] = range.y;
  }
  __device__ void set_absent(int row) {
    low[row] = 0;
    high[row] = 0;
  }

  /// The smallest range that holds all, on every lane. All lanes of the warp call it together.
  __device__ int2 hull() const {
    int32_t begin = std::numeric_limits<int32_t>::max();
    int32_t end = std::numeric_limits<int32_t>::min();
    for (int row = static_cast<int>(threadIdx.x) % kWarp; row < kRows; row += kWarp) {
      if (low[row] >= high[row]) continue;
      begin = min(begin, low[row]);
      end = max(end, high[row]);
    }
    return make_int2(__reduce_min_sync(kFullWarp, begin), __reduce_max_sync(kFullWarp, end));
  }
};

}  // namespace reformer::cuda::simt
