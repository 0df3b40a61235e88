// Who sees whom, on the device: the slots of a call to attention, and rows of them in shared
// memory.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/backend.h"
#include "kernels/cuda/primitives.cuh"
#include "kernels/lsh_layout.h"

namespace reformer::cuda::simt {

/// kLocal: score = q·k / √D, and the queries carry the factor.
inline float query_scale(const AttentionPattern& pattern) {
  if (has_shared_query_key(pattern.kind)) return 1.0f;
  return 1.0f / std::sqrt(static_cast<float>(pattern.head_dim));
}

enum class Side : uint8_t { kQuery, kKey };

// ---- slots -----------------------------------------------------------------------------------

/// The slots of all samples and heads. A sample and head together are numbered sample · H + head.
/// Passed to kernels by value.
struct SlotMap {
  explicit SlotMap(const AttentionArgs& args)
      : pattern(args.pattern),
        ring(args.pattern, args.layout.length),
        order(args.order.data<int32_t>()),
        bucket_begin(args.bucket_begin.data<int32_t>()),
        begins(args.bucket_begin.defined() ? args.bucket_begin.shape()[3] : 0),
        mask(args.mask.data<uint8_t>()) {}

  AttentionPattern pattern;
  SlotRing ring;
  const int32_t* order;         // [B, H, R, T]; null: slot = position
  const int32_t* bucket_begin;  // [B, H, R, begins]
  int64_t begins;
  const uint8_t* mask;  // [B, T] or null

  __device__ int32_t position(int64_t sample_head, int64_t slot) const {
    const int64_t wrapped = ring.wrap(slot);
    return order == nullptr ? static_cast<int32_t>(wrapped)
                            : order[sample_head * ring.size() + wrapped];
  }

  __device__ bool is_masked(int64_t sample_head, int32_t position) const {
    return mask != nullptr && mask[sample_head / pattern.heads * ring.length() + position] == 0;
  }

  /// The slots of the bucket that `slot` is in.
  __device__ SlotRange bucket_around(int64_t sample_head, int64_t slot) const {
    const int64_t unrolled = ring.unrolled_round(slot) * ring.length();
    const int64_t round = ring.wrap(slot) / ring.length();
    const auto of_round = static_cast<int32_t>(slot - unrolled);
    const int32_t* const begin = bucket_begin + (sample_head * pattern.rounds + round) * begins;
    int64_t low = 0;  // begin[low] <= of_round < begin[high]
    int64_t high = begins - 1;
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      if (begin[middle] <= of_round) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return {unrolled + begin[low], unrolled + begin[high]};
  }

  /// The keys that the query in `slot` sees, or the queries that see the key in it.
  __device__ SlotRange reach(Side side, int64_t sample_head, int64_t slot) const {
    const SlotRange bucket =
        sees_own_bucket_only(pattern) ? bucket_around(sample_head, slot) : SlotRange{};
    return side == Side::kQuery ? keys_seen_from(pattern, ring, slot, bucket)
                                : queries_seeing(pattern, ring, slot, bucket);
  }
};

// ---- rows ------------------------------------------------------------------------------------

/// `position` of a row that is not there.
inline constexpr int32_t kNoToken = -1;
/// `bound` of a key that nobody sees.
inline constexpr int32_t kHiddenKey = std::numeric_limits<int32_t>::max();
/// `bound` of a query that sees later positions too.
inline constexpr int32_t kNoBound = kHiddenKey - 1;
/// `bound` of a query that sees nothing.
inline constexpr int32_t kBlindQuery = -1;

/// Rows of one side in shared memory. A query sees a key iff one is in the other's reach (see
/// SlotReach), key.bound <= query.bound and key.bound != query.excluded.
template <int kRows>
struct SlotRows {
  alignas(16) int32_t position[kRows];
  alignas(16) int32_t bound[kRows];     // of a key its position
  alignas(16) int32_t excluded[kRows];  // queries only
  alignas(16) int32_t round[kRows];     // queries only
  alignas(16) float scale[kRows];       // of the row's vector in scores
  alignas(16) float offset[kRows];      // queries only: subtracted from scores before exp
  alignas(16) float delta[kRows];       // queries only: gradient of the output times the output

  __device__ void set_absent(int row, Side side) {
    position[row] = kNoToken;
    bound[row] = side == Side::kQuery ? kBlindQuery : kHiddenKey;
    excluded[row] = kNoToken;
    round[row] = 0;
    scale[row] = 0;
    offset[row] = 0;
    delta[row] = 0;
  }

  /// Fills a row but for scale, offset and delta; returns its position.
  __device__ int32_t set_slot(int row, Side side, const SlotMap& slots, int64_t sample_head,
                              int64_t slot) {
    const int32_t at = slots.position(sample_head, slot);
    const bool masked = slots.is_masked(sample_head, at);
    position[row] = at;
    if (side == Side::kKey) {
      bound[row] = masked ? kHiddenKey : at;
    } else {
      bound[row] = masked ? kBlindQuery : slots.pattern.causal ? at : kNoBound;
      excluded[row] = has_shared_query_key(slots.pattern.kind) ? at : kNoToken;
      round[row] = static_cast<int32_t>(slots.ring.wrap(slot) / slots.ring.length());
    }
    return at;
  }
};

/// The (unrolled) slots of the other side that rows see or are seen from, in shared memory.
template <int kRows>
struct SlotReach {
  alignas(16) int32_t low[kRows];
  alignas(16) int32_t high[kRows];

  /// REQUIRES: set_slot() or set_absent() of `rows` before.
  __device__ void set(int row, Side side, const SlotRows<kRows>& rows, const SlotMap& slots,
                      int64_t sample_head, int64_t slot) {
    const bool hidden = rows.bound[row] == (side == Side::kQuery ? kBlindQuery : kHiddenKey);
    const SlotRange reach = hidden ? SlotRange{} : slots.reach(side, sample_head, slot);
    low[row] = static_cast<int32_t>(reach.begin);
    high[row] = static_cast<int32_t>(reach.end);
  }

  /// The smallest range that holds all, on every lane. All lanes of the warp call it together.
  __device__ SlotRange hull() const {
    int32_t begin = std::numeric_limits<int32_t>::max();
    int32_t end = std::numeric_limits<int32_t>::min();
    for (int row = static_cast<int>(threadIdx.x) % kWarp; row < kRows; row += kWarp) {
      if (low[row] >= high[row]) continue;
      begin = min(begin, low[row]);
      end = max(end, high[row]);
    }
    return {__reduce_min_sync(kFullWarp, begin), __reduce_max_sync(kFullWarp, end)};
  }
};

}  // namespace reformer::cuda::simt
