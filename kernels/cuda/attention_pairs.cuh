// From the scores of a tile to the weights of its pairs.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_slots.cuh"
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/primitives.cuh"

namespace reformer::cuda::simt {

/// What happens to the weights of visible pairs. Passed to kernels by value.
struct PairRules {
  explicit PairRules(const AttentionFrame& frame)
      : counts(corrects_duplicates(frame.pattern)),
        ring_size(static_cast<int32_t>(frame.ring().size())),
        other_rounds(!sees_own_bucket_only(frame.pattern)),
        drops(frame.dropout.enabled()),
        key(frame.dropout.key),
        threshold(frame.dropout.threshold()),
        first_sample(static_cast<uint32_t>(frame.first_sample)),
        first_head(static_cast<uint32_t>(frame.first_head)) {}

  bool counts;  // N_ij; else it is 1
  int32_t ring_size;
  bool other_rounds;  // a query may see keys in the slots of adjacent rounds

  bool drops;
  PhiloxKey key;
  uint32_t threshold;
  uint32_t first_sample;
  uint32_t first_head;

  __device__ bool any() const { return drops || counts; }

  /// How often the query sees the key over all rounds, given that it does once.
  __device__ int times_seen(const RoundSlots& slots, int rounds, int32_t query_token,
                            int32_t key_token) const {
    // Chunks adjacent to those of a round are in it, in the round after or in the one before.
    const int steps = other_rounds ? min(rounds, 3) : 1;
    int count = 0;
    for (int round = 0; round < rounds; ++round) {
      for (int step = 0; step < steps; ++step) {
        const int other = (round + (step == 2 ? rounds - 1 : step)) % rounds;
        const bool sees = is_in_ring_range(*slots.token_slot(other, key_token),
                                           *slots.token_seen(round, query_token));
        count += sees ? 1 : 0;
      }
    }
    return max(count, 1);
  }

  __device__ bool is_dropped(const PairPlace& place, int32_t query_position, int32_t key_position,
                             int32_t round) const {
    const uint32_t head = first_head + static_cast<uint32_t>(place.head);
    const uint4 words =
        philox4(key, static_cast<uint32_t>(query_position), static_cast<uint32_t>(key_position),
                first_sample + static_cast<uint32_t>(place.sample),
                head | static_cast<uint32_t>(round / 4) << 16);
    const uint32_t low = round % 2 == 0 ? words.x : words.y;
    const uint32_t high = round % 2 == 0 ? words.z : words.w;
    return (round % 4 < 2 ? low : high) < threshold;
  }

 private:
  /// Whether some unrolling of `slot` is in [range.x, range.y).
  __device__ bool is_in_ring_range(int32_t slot, int2 range) const {
    int32_t ahead = slot - range.x;
    if (ahead < 0) ahead += ring_size;
    if (ahead >= ring_size) ahead -= ring_size;
    return ahead < range.y - range.x;
  }
};

/// The four lanes of a thread, ready to be paired with rows of the panel.
template <Side kLaneSide>
class LanePairs {
 public:
  __device__ LanePairs(const SlotRows<kLanes>& lanes, const SlotReach<kLanes>& reach)
      : low_(reach.low), high_(reach.high), bound_(lanes.bound), excluded_(lanes.excluded) {}

  /// Whether lane i and this row of the panel, in `slot`, see each other.
  __device__ bool see(int i, const SlotRows<kPanel>& panel, int row, int32_t slot) const {
    if (slot < low_.value[i] || slot >= high_.value[i]) return false;
    const int32_t other = panel.bound[row];
    if constexpr (kLaneSide == Side::kQuery) {
      return other <= bound_.value[i] && other != excluded_.value[i];
    } else {
      return bound_.value[i] <= other && bound_.value[i] != panel.excluded[row];
    }
  }

 private:
  struct Four {
    __device__ explicit Four(const int32_t* rows) {
      const int4 four = *reinterpret_cast<const int4*>(rows + TileProducts::first_lane());
      value[0] = four.x;
      value[1] = four.y;
      value[2] = four.z;
      value[3] = four.w;
    }
    int32_t value[4];
  };

  Four low_;
  Four high_;
  Four bound_;
  Four excluded_;
};

/// weights = exp(score − offset) of the pairs that see each other, else 0; `first_slot` is that of
/// row 0 of the panel.
template <Side kLaneSide>
__device__ void weigh_pairs(const TileProducts& scores, const SlotRows<kLanes>& lanes,
                            const SlotReach<kLanes>& reach, const SlotRows<kPanel>& panel,
                            int32_t first_slot, TileWeights& weights) {
  const LanePairs<kLaneSide> pairs(lanes, reach);
  const int lane = TileProducts::first_lane();
  const float4 of_lanes = *reinterpret_cast<const float4*>(&lanes.offset[lane]);
  const float offsets[4] = {of_lanes.x, of_lanes.y, of_lanes.z, of_lanes.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = TileProducts::first_row() + i;
    float w[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float offset = kLaneSide == Side::kQuery ? offsets[j] : panel.offset[row];
      const bool visible = pairs.see(j, panel, row, first_slot + row);
      w[j] = visible ? expf(scores.value[i][j] - offset) : 0.0f;
    }
    weights.lanes(row, lane) = make_float4(w[0], w[1], w[2], w[3]);
  }
}

/// Divides weights by N_ij, and gives those that dropout takes a minus sign. The whole block calls
/// it, between barriers.
template <Side kLaneSide>
__device__ void apply_rules(const PairRules& rules, const SlotTables& tables,
                            const PairPlace& place, const SlotRows<kLanes>& lanes,
                            const SlotRows<kPanel>& panel, int rows, TileWeights& weights) {
  const RoundSlots slots(tables, place);
  for (int i = static_cast<int>(threadIdx.x); i < rows * kLanes; i += kTileThreads) {
    const int row = i / kLanes;
    const int lane = i % kLanes;
    float w = weights.value[row][lane];
    if (w == 0) continue;
    constexpr bool kLaneIsQuery = kLaneSide == Side::kQuery;
    const auto of_query = [&](const auto& of_lane, const auto& of_panel) {
      return kLaneIsQuery ? of_lane[lane] : of_panel[row];
    };
    const auto of_key = [&](const auto& of_lane, const auto& of_panel) {
      return kLaneIsQuery ? of_panel[row] : of_lane[lane];
    };
    if (rules.counts) {
      w /= static_cast<float>(rules.times_seen(slots, tables.rounds,
                                               of_query(lanes.token, panel.token),
                                               of_key(lanes.token, panel.token)));
    }
    if (rules.drops && rules.is_dropped(place, of_query(lanes.position, panel.position),
                                        of_key(lanes.position, panel.position),
                                        of_query(lanes.round, panel.round))) {
      w = -w;
    }
    weights.value[row][lane] = w;
  }
}

/// The weight after dropout, but for the factor 1 / (1 − rate).
__device__ inline float kept_weight(float weight) {
  return weight < 0 ? 0.0f : weight;
}

}  // namespace reformer::cuda::simt
