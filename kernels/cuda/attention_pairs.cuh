// From the scores of a tile to the weights of its pairs.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_slots.cuh"
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/primitives.cuh"

namespace reformer::cuda::simt {

/// What happens to the weights of visible pairs. Passed to kernels by value.
struct PairRules {
  const int32_t* slot_in = nullptr;  // [B, H, T, R]: the token's slot in each round; null: N_ij = 1
  const int2* seen_in = nullptr;     // [B, H, T, R]: the keys seen from there
  int32_t rounds = 1;
  int32_t ring_size = 0;
  bool other_rounds = false;  // a query may see keys in the slots of adjacent rounds

  bool drops = false;
  PhiloxKey key;
  uint32_t threshold = 0;
  uint32_t first_sample = 0;

  __host__ __device__ bool counts() const { return slot_in != nullptr; }
  __host__ __device__ bool any() const { return drops || counts(); }

  /// How often the query sees the key over all rounds, given that it does once; `token` is the
  /// index of position 0 in [B, H, T].
  __device__ int times_seen(int64_t token, int32_t query, int32_t key_position) const {
    const int2* const seen = seen_in + (token + query) * rounds;
    const int32_t* const slot = slot_in + (token + key_position) * rounds;
    // Chunks adjacent to those of a round are in it, in the round after or in the one before.
    const int steps = other_rounds ? min(rounds, 3) : 1;
    int count = 0;
    for (int round = 0; round < rounds; ++round) {
      for (int step = 0; step < steps; ++step) {
        const int other = (round + (step == 2 ? rounds - 1 : step)) % rounds;
        count += is_in_ring_range(slot[other], seen[round]) ? 1 : 0;
      }
    }
    return max(count, 1);
  }

  __device__ bool is_dropped(uint32_t sample, uint32_t head, int32_t query, int32_t key_position,
                             int32_t round) const {
    const uint4 words =
        philox4(key, static_cast<uint32_t>(query), static_cast<uint32_t>(key_position),
                first_sample + sample, head | static_cast<uint32_t>(round / 4) << 16);
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
__device__ void apply_rules(const PairRules& rules, const SlotMap& slots, const TileBlock& block,
                            const SlotRows<kLanes>& lanes, const SlotRows<kPanel>& panel, int rows,
                            TileWeights& weights) {
  const int64_t token = block.sample_head * slots.ring.length();
  for (int i = static_cast<int>(threadIdx.x); i < rows * kLanes; i += kTileThreads) {
    const int row = i / kLanes;
    const int lane = i % kLanes;
    float w = weights.value[row][lane];
    if (w == 0) continue;
    const bool lane_is_query = kLaneSide == Side::kQuery;
    const int32_t query = lane_is_query ? lanes.position[lane] : panel.position[row];
    const int32_t key = lane_is_query ? panel.position[row] : lanes.position[lane];
    if (rules.counts()) w /= static_cast<float>(rules.times_seen(token, query, key));
    if (rules.drops) {
      const int32_t round = lane_is_query ? lanes.round[lane] : panel.round[row];
      if (rules.is_dropped(static_cast<uint32_t>(block.sample), static_cast<uint32_t>(block.head),
                           query, key, round)) {
        w = -w;
      }
    }
    weights.value[row][lane] = w;
  }
}

/// The weight after dropout, but for the factor 1 / (1 − rate).
__device__ inline float kept_weight(float weight) {
  return weight < 0 ? 0.0f : weight;
}

}  // namespace reformer::cuda::simt
