// Which pairs of a sub-block of 16 queries and 16 keys see each other, which of them dropout keeps,
// and how often they meet in all rounds: one lane's eight pairs as bits, found before the products,
// while the accumulators are all that is held in registers.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_tables.cuh"
#include "kernels/cuda/mma.cuh"

namespace reformer::cuda {

/// Queries or keys of a sub-block.
inline constexpr int kSubBlock = 16;

/// What is done for each pair besides its weight; more than kPlain costs registers and time, so
/// there are kernels without it.
enum class PairWork : uint8_t {
  kPlain,
  kDropout,
  kDuplicates,  // and dropout, if there is any
};

struct PairRules {
  // Beyond the range of slots that a query sees:
  bool check_positions = false;  // at the edges of the ranges
  bool check_everywhere = false;
  bool before_only = false;   // the key's position is before the query's
  bool excludes_own = false;  // it is not the query's own

  PhiloxKey dropout_key;
  uint32_t dropout_threshold = 0;  // 0: keeps all
  float dropout_scale = 1;
  uint32_t first_sample = 0;
  uint32_t first_head = 0;

  int rounds = 1;
  int ring = 0;               // R·T
  bool other_rounds = false;  // a query may see keys in the slots of adjacent rounds
};

/// A value for each of the eight pairs of a lane, which depends on the row alone, or on the column
/// alone. Pair (half, e) is element e of C fragment `half` of a PairTile.
template <bool kOfRow, typename T>
class LaneValues {
 public:
  /// `sixteen` are the values of all rows or columns.
  __device__ __forceinline__ explicit LaneValues(const T* sixteen) {
    const int lane = threadIdx.x % kWarp;
    if constexpr (kOfRow) {
      values_[0] = sixteen[lane / 4];
      values_[1] = sixteen[lane / 4 + 8];
    } else {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Two two = *reinterpret_cast<const Two*>(sixteen + 8 * half + 2 * (lane % 4));
        values_[2 * half] = two.first;
        values_[2 * half + 1] = two.second;
      }
    }
  }

  __device__ __forceinline__ T operator()(int half, int e) const {
    return values_[kOfRow ? e / 2 : 2 * half + e % 2];
  }

 private:
  struct alignas(2 * sizeof(T)) Two {
    T first;
    T second;
  };
  T values_[kOfRow ? 2 : 4];
};

/// Numbers of the rows or columns themselves.
template <bool kOfRow>
__device__ __forceinline__ int lane_index(int half, int e) {
  const int lane = threadIdx.x % kWarp;
  return kOfRow ? lane / 4 + 8 * (e / 2) : 8 * half + 2 * (lane % 4) + e % 2;
}

/// Calls f(half, e) for the eight pairs of a lane.
template <typename F>
__device__ __forceinline__ void for_lane_pairs(const F& f) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int e = 0; e < 4; ++e) f(half, e);
  }
}

inline constexpr unsigned kAllPairs = 0xff;

__device__ __forceinline__ bool holds(unsigned bits, int half, int e) {
  return bits >> (4 * half + e) & 1;
}

/// 16 queries, in shared memory: each pointer goes to the entry of the first of them.
struct SubBlockQueries {
  const int2* seen;
  const int* position;
  const int* round;     // with dropout
  const int2* seen_in;  // with duplicates, [R][stride]
  int stride;
};

struct SubBlockKeys {
  int slot;             // of the first
  const int* position;  // kMaskedPosition: seen by nobody
  const int* slot_in;   // with duplicates, [R][stride]
  int stride;
};

/// kQueryRows: queries are the rows of the sub-block, else they are the columns.
template <bool kQueryRows>
__device__ __forceinline__ unsigned visible_pairs(const PairRules& rules,
                                                  const SubBlockQueries& queries,
                                                  const SubBlockKeys& keys) {
  unsigned bits = 0;
  const LaneValues<kQueryRows, int2> seen(queries.seen);
  for_lane_pairs([&](int half, int e) {
    const int2 range = seen(half, e);
    const int slot = keys.slot + lane_index<!kQueryRows>(half, e);
    bits |= static_cast<unsigned>(range.x <= slot && slot < range.y) << (4 * half + e);
  });
  if (!rules.check_positions) return bits;
  const LaneValues<kQueryRows, int> query_position(queries.position);
  const LaneValues<!kQueryRows, int> key_position(keys.position);
  for_lane_pairs([&](int half, int e) {
    const int query = query_position(half, e);
    const int key = key_position(half, e);
    const bool visible = rules.before_only
                             ? key < query
                             : key != kMaskedPosition && (key != query || !rules.excludes_own);
    if (!visible) bits &= ~(1u << (4 * half + e));
  });
  return bits;
}

/// Word (round % 4) of philox(key, {pos_i, pos_j, sample, head | (round / 4) << 16}) decides.
template <bool kQueryRows>
__device__ __forceinline__ unsigned kept_pairs(const PairRules& rules, const PairPlace& place,
                                               const SubBlockQueries& queries,
                                               const SubBlockKeys& keys) {
  if (rules.dropout_threshold == 0) return kAllPairs;
  unsigned bits = 0;
  const LaneValues<kQueryRows, int> query_position(queries.position);
  const LaneValues<kQueryRows, int> query_round(queries.round);
  const LaneValues<!kQueryRows, int> key_position(keys.position);
  for_lane_pairs([&](int half, int e) {
    const auto round = static_cast<uint32_t>(query_round(half, e));
    const uint4 words =
        philox4(rules.dropout_key, static_cast<uint32_t>(query_position(half, e)),
                static_cast<uint32_t>(key_position(half, e)),
                rules.first_sample + static_cast<uint32_t>(place.sample),
                (rules.first_head + static_cast<uint32_t>(place.head)) | (round / 4) << 16);
    const uint32_t lower = round % 2 == 0 ? words.x : words.y;
    const uint32_t upper = round % 2 == 0 ? words.z : words.w;
    const uint32_t word = round % 4 < 2 ? lower : upper;
    bits |= static_cast<unsigned>(word >= rules.dropout_threshold) << (4 * half + e);
  });
  return bits;
}

/// How often the query of each pair sees its key over all rounds.
struct PairCounts {
  uint32_t packed[2] = {0, 0};

  __device__ __forceinline__ float operator()(int half, int e) const {
    return fmaxf(1.0f, static_cast<float>(packed[half] >> (8 * e) & 0xff));
  }
};

/// low <= slot < high for some unrolling of `slot`.
__device__ __forceinline__ bool in_ring_range(int slot, int2 range, int ring) {
  int ahead = slot - range.x;
  if (ahead < 0) ahead += ring;
  if (ahead >= ring) ahead -= ring;
  return ahead < range.y - range.x;
}

template <bool kQueryRows>
__device__ __forceinline__ PairCounts count_pairs(const PairRules& rules,
                                                  const SubBlockQueries& queries,
                                                  const SubBlockKeys& keys) {
  PairCounts counts;
  const int rounds = rules.rounds;
  // Keys seen from `round` are in it, in the round after or in the one before.
  const int steps = rules.other_rounds ? min(rounds, 3) : 1;
#pragma unroll 1
  for (int round = 0; round < rounds; ++round) {
    const LaneValues<kQueryRows, int2> seen(queries.seen_in + round * queries.stride);
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      const int beside = round + (step == 2 ? -1 : step);
      const int key_round = beside < 0 ? rounds - 1 : beside == rounds ? 0 : beside;
      const LaneValues<!kQueryRows, int> slot(keys.slot_in + key_round * keys.stride);
      for_lane_pairs([&](int half, int e) {
        const bool sees = in_ring_range(slot(half, e), seen(half, e), rules.ring);
        counts.packed[half] += static_cast<uint32_t>(sees) << (8 * e);
      });
    }
  }
  return counts;
}

/// All that is to be known of a lane's pairs.
struct LanePairs {
  bool all_visible = true;  // in the whole sub-block
  unsigned visible = kAllPairs;
  unsigned kept = kAllPairs;  // by dropout
  PairCounts counts;
};

template <PairWork kWork, bool kQueryRows>
__device__ __forceinline__ LanePairs classify(const PairRules& rules, const PairPlace& place,
                                              bool all_visible, const SubBlockQueries& queries,
                                              const SubBlockKeys& keys) {
  LanePairs pairs;
  pairs.all_visible = all_visible;
  if constexpr (kWork == PairWork::kDuplicates) {
    pairs.counts = count_pairs<kQueryRows>(rules, queries, keys);
  }
  if constexpr (kWork != PairWork::kPlain) {
    pairs.kept = kept_pairs<kQueryRows>(rules, place, queries, keys);
  }
  if (!all_visible) pairs.visible = visible_pairs<kQueryRows>(rules, queries, keys);
  return pairs;
}

}  // namespace reformer::cuda
