// The forward kernel of attention on tensor cores. A block has 64 queries of one round, 16 for each
// warp, and walks over the tiles of 64 keys that they see.
//
// A key has unit length, so |score| <= ‖q‖, and ‖q‖ is subtracted before exp in place of the
// largest score: nothing depends on the order of tiles, and the sums of rounds simply add. Blocks
// with queries so long that exp could underflow, and those of kLocal, whose keys have any length,
// walk twice, and find the largest scores first.
//
// `out` is divided by the sum of the weights as BFloat16, which is what the values were multiplied
// by, while lse takes them as they are.
#pragma once

#include "kernels/cuda/attention_mma_forward_memory.cuh"
#include "kernels/cuda/attention_mma_sums.cuh"

namespace reformer::cuda {

/// Of ‖q‖ · log2 e. Weights of shorter queries are 2^-80 at least.
inline constexpr float kLongQuery = 40.0f;

template <int D, PairWork kWork>
class ForwardBlock {
 public:
  __device__ __forceinline__ ForwardBlock(const AttentionForwardArgs& args, std::byte* shared)
      : args_(args),
        block_(args.block),
        memory_(shared, kWork == PairWork::kDuplicates ? args.block.rounds : 0),
        place_(*memory_.place),
        slots_(block_.tables, place_),
        first_slot_(block_.tables.own_begin + static_cast<int>(blockIdx.x) * kBlockSlots),
        warp_row_(static_cast<int>(threadIdx.x) / kWarp * kSubBlock) {}

  __device__ __forceinline__ void run() {
    const bool finds_maxima = __syncthreads_or(describe_queries());
    const int own = first_slot_ / kBlockSlots;
    const bool shared = block_.shared_query_key;
    seen_ = hull_of_block(memory_.query_seen);
    const TileWalk walk(seen_, kBlockSlots, own, shared ? own + 1 : own);
    const int tiles = walk.count() + (shared ? 1 : 0);
    const int steps = finds_maxima ? 2 * tiles : tiles;
    const WarpRange range(memory_.query_seen + warp_row_);
    // The queries of shared query-keys are the rows of the own tile, so that one comes first.
    const auto tile = [&](int step) {
      if (step >= tiles) step -= tiles;
      return !shared ? walk.tile(step) : step == 0 ? own : walk.tile(step - 1);
    };
    const auto load_step = [&](int step) {
      if (step < steps) {
        load(step, tile(step), next_row_);
        if (step + 1 < steps) next_row_ = fetch_row(tile(step + 1));
      }
      commit_copies();
    };

    next_row_ = steps > 0 ? fetch_row(tile(0)) : 0;
    if (shared) {
      load_step(0);
      load_step(1);
      wait_for_copies<1>();
      __syncthreads();
      load_query_fragments(memory_.stage(0).keys);
    } else {
      gather_queries(memory_.stage(1).keys);
      load_step(0);
      wait_for_copies<1>();
      __syncthreads();
      load_query_fragments(memory_.stage(1).keys);
      __syncthreads();
      load_step(1);
    }
    for (int step = 0; step < steps; ++step) {
      wait_for_copies<1>();
      __syncthreads();
      const bool weighs = step >= steps - tiles;
      if (finds_maxima && step == tiles) adopt_maxima();
      attend_tile(memory_.stage(step), tile(step) * kBlockSlots, range, weighs);
      __syncthreads();
      load_step(step + 2);
    }
    finish();
  }

 private:
  using Tile = SharedTile<D>;
  static constexpr int kDepth = D / 16;
  static constexpr int kColumns = D / 8;  // C fragments side by side

  /// Returns whether this thread's query is one whose largest score must be found.
  __device__ __forceinline__ bool describe_queries() {
    const int row = static_cast<int>(threadIdx.x);
    if (row == 0) *memory_.place = PairPlace(block_.tables, D, block_.round);
    __syncthreads();
    if (row >= kBlockSlots) return false;
    const int slot = first_slot_ + row;
    const bool exists = slot < slots_.length();
    const int token = exists ? slots_.row(slot) : kNoRow;
    const int2 nothing = make_int2(first_slot_, first_slot_);
    float offset = block_.shared_query_key ? 0.0f : 2 * kLongQuery;
    if (block_.shared_query_key && token >= 0) {
      const float scale = block_.key_scale[slots_.number(token)];
      if (scale > 0) offset = kLog2E / scale;
    }
    memory_.query_offset[row] = offset;
    memory_.query_row[row] = token;
    memory_.query_position[row] = exists ? *slots_.position(slot) : kMaskedPosition;
    memory_.query_round[row] = block_.round;
    memory_.query_seen[row] = exists ? slots_.seen(slot) : nothing;
    if constexpr (kWork == PairWork::kDuplicates) {
#pragma unroll 1
      for (int round = 0; round < block_.rounds; ++round) {
        memory_.query_seen_in[round * kBlockSlots + row] =
            token >= 0 ? *slots_.token_seen(round, token) : nothing;
      }
    }
    return token >= 0 && offset > kLongQuery;
  }

  /// The token in this lane's row of a tile of keys, kNoRow if nobody here needs it.
  __device__ __forceinline__ int fetch_row(int tile) const {
    const int slot = tile * kBlockSlots + warp_row_ + static_cast<int>(threadIdx.x) % kSubBlock;
    const bool is_query =
        block_.shared_query_key && tile * kBlockSlots == first_slot_ && slot < slots_.length();
    return is_query || contains(seen_, slot) ? slots_.row(slot) : kNoRow;
  }

  __device__ __forceinline__ void load(int step, int tile, int token) const {
    const auto stage = memory_.stage(step);
    gather_tile<D, kBlockSlots>(shared_address(stage.keys), block_.key + place_.activation,
                                place_.stride, token);
    gather_tile<D, kBlockSlots>(shared_address(stage.values), block_.value + place_.activation,
                                place_.stride, token);
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    if (lane >= kSubBlock) return;
    const int row = warp_row_ + lane;
    const int slot = token == kNoRow ? first_slot_ : tile * kBlockSlots + row;
    copy_async_4(stage.position + row, slots_.position(slot), token != kNoRow);
    copy_async_4(stage.key_scale + row, block_.key_scale + slots_.number(max(token, 0)),
                 token >= 0);
    if constexpr (kWork == PairWork::kDuplicates) {
#pragma unroll 1
      for (int round = 0; round < block_.rounds; ++round) {
        copy_async_4(stage.slot_in + round * kBlockSlots + row,
                     slots_.token_slot(round, max(token, 0)), token >= 0);
      }
    }
  }

  __device__ __forceinline__ void gather_queries(std::byte* tile) const {
    gather_tile<D, kBlockSlots>(
        shared_address(tile), block_.query + place_.activation, place_.stride,
        memory_.query_row[warp_row_ + static_cast<int>(threadIdx.x) % kSubBlock]);
    commit_copies();
  }

  __device__ __forceinline__ void load_query_fragments(const std::byte* tile) {
    const uint32_t base = shared_address(tile);
#pragma unroll
    for (int k = 0; k < kDepth; ++k) Tile::load_a(queries_[k], base, warp_row_, k);
#pragma unroll
    for (int row = 0; row < 2; ++row) offset_[row] = memory_.query_offset[lane_row(row)];
  }

  __device__ __forceinline__ int lane_row(int row) const {
    return warp_row_ + static_cast<int>(threadIdx.x) % kWarp / 4 + 8 * row;
  }

  __device__ __forceinline__ void adopt_maxima() {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const float maximum = quad_max(maximum_[row]);
      if (offset_[row] > kLongQuery) offset_[row] = maximum;
    }
  }

  /// Weighs the 64 keys from `slot` on, or only finds the largest scores.
  __device__ __forceinline__ void attend_tile(const typename ForwardMemory<D>::Stage& stage,
                                              int slot, const WarpRange& range, bool weighs) {
    const int warp_slot = first_slot_ + warp_row_;
#pragma unroll kWork == PairWork::kPlain ? kBlockSlots / kSubBlock : 1
    for (int first = 0; first < kBlockSlots; first += kSubBlock) {
      const int key_slot = slot + first;
      if (range.misses(key_slot)) continue;
      const bool all_visible =
          range.covers(key_slot) && !block_.rules.check_everywhere &&
          (key_slot + kSubBlock <= warp_slot || key_slot >= warp_slot + kSubBlock);
      const SubBlockQueries queries{.seen = memory_.query_seen + warp_row_,
                                    .position = memory_.query_position + warp_row_,
                                    .round = memory_.query_round + warp_row_,
                                    .seen_in = memory_.query_seen_in + warp_row_,
                                    .stride = kBlockSlots};
      const SubBlockKeys keys{.slot = key_slot,
                              .position = stage.position + first,
                              .slot_in = stage.slot_in + first,
                              .stride = kBlockSlots};
      const LanePairs pairs =
          weighs
              ? classify<kWork, true>(block_.rules, place_, all_visible, queries, keys)
              : classify<PairWork::kPlain, true>(block_.rules, place_, all_visible, queries, keys);
      PairTile scores = {};
      multiply_queries(scores, shared_address(stage.keys), first);
      scale_scores(scores, stage.key_scale + first);
      if (!weighs) {
        raise_maxima(scores, pairs.visible);
        continue;
      }
      weigh(scores, pairs);
      add_values(scores, pairs.kept, shared_address(stage.values), first);
    }
  }

  __device__ __forceinline__ void multiply_queries(PairTile& scores, uint32_t keys,
                                                   int first) const {
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      uint32_t b[4];
      Tile::load_b_transposed(b, keys, first, k);
      multiply_add(scores[0], queries_[k], b[0], b[1]);
      multiply_add(scores[1], queries_[k], b[2], b[3]);
    }
  }

  static __device__ __forceinline__ void scale_scores(PairTile& scores, const float* key_scale) {
    const LaneValues<false, float> scale(key_scale);
    for_lane_pairs([&](int half, int e) { scores[half][e] *= scale(half, e) * kLog2E; });
  }

  __device__ __forceinline__ void raise_maxima(const PairTile& scores, unsigned visible) {
    for_lane_pairs([&](int half, int e) {
      if (holds(visible, half, e)) maximum_[e / 2] = fmaxf(maximum_[e / 2], scores[half][e]);
    });
  }

  /// Turns scores into weights.
  __device__ __forceinline__ void weigh(PairTile& scores, const LanePairs& pairs) {
    for_lane_pairs([&](int half, int e) {
      float weight = exp2_approximate(scores[half][e] - offset_[e / 2]);
      if (kWork == PairWork::kDuplicates) weight = __fdividef(weight, pairs.counts(half, e));
      scores[half][e] = weight;
    });
    if (!pairs.all_visible) {
      for_lane_pairs([&](int half, int e) {
        if (!holds(pairs.visible, half, e)) scores[half][e] = 0;
      });
    }
    for_lane_pairs([&](int half, int e) { weights_[e / 2] += scores[half][e]; });
  }

  __device__ __forceinline__ void add_values(const PairTile& weights, unsigned kept,
                                             uint32_t values, int first) {
    uint32_t rounded[4];
    round_to_fragment(weights, rounded);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      rounded_weights_[i % 2] += lower_half(rounded[i]) + upper_half(rounded[i]);
      if (kWork == PairWork::kPlain) continue;
      const int e = i % 2 * 2;
      if (!holds(kept, i / 2, e)) rounded[i] &= 0xffff0000u;
      if (!holds(kept, i / 2, e + 1)) rounded[i] &= 0x0000ffffu;
    }
    add_product<D>(sums_, rounded, values, first);
  }

  // ---- what remains of a query after this round ----

  struct Row {
    int token;         // as in SlotTables
    int64_t in_group;  // of [pairs, T]
    bool exists;
  };

  __device__ __forceinline__ Row row_of(int row) const {
    const int token = memory_.query_row[lane_row(row)];
    return {.token = token,
            .in_group = static_cast<int64_t>(place_.in_group) * slots_.length() +
                        (token < 0 ? ~token : token),
            .exists = first_slot_ + lane_row(row) < slots_.length()};
  }

  __device__ __forceinline__ void finish() {
    wait_for_copies<0>();
    RoundSums totals[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      totals[row] = {.offset = offset_[row],
                     .weights = quad_sum(weights_[row]),
                     .divisor = quad_sum(rounded_weights_[row])};
      const Row to = row_of(row);
      if (!block_.is_part && block_.round > 0 && to.exists) {
        add_earlier_rounds(row, to, totals[row]);
      }
    }
    __syncwarp();  // all lanes of a row have read what one of them overwrites
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const Row to = row_of(row);
      if (!to.exists) continue;
      if (block_.is_part) {
        store_part(row, totals[row]);
      } else if (block_.round + 1 < block_.rounds) {
        store_sums(row, to, totals[row]);
      } else {
        store_result(row, to, totals[row]);
      }
    }
  }

  __device__ __forceinline__ void add_earlier_rounds(int row, const Row& to, RoundSums& total) {
    const RoundSums now = total;
    total = args_.round_sums[to.in_group];
    const RoundFactors factors = add_round<BinaryBase>(now, total);
    const float* sums = args_.value_sums + to.in_group * D;
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      const float2 before = *reinterpret_cast<const float2*>(sums + lane_column(n));
      float& x = sums_[n][2 * row];
      float& y = sums_[n][2 * row + 1];
      x = factors.add(before.x, x);
      y = factors.add(before.y, y);
    }
  }

  __device__ __forceinline__ void store_part(int row, const RoundSums& total) const {
    const int64_t result = place_.results + first_slot_ + lane_row(row);
    store_row<D>(sums_, row, args_.part_sums + result * D);
    if (threadIdx.x % 4 == 0) store_round(total, args_.part_weights + result * kRoundWeights);
  }

  __device__ __forceinline__ void store_sums(int row, const Row& to, const RoundSums& total) const {
    store_row<D>(sums_, row, args_.value_sums + to.in_group * D);
    if (threadIdx.x % 4 == 0) args_.round_sums[to.in_group] = total;
  }

  __device__ __forceinline__ void store_result(int row, const Row& to,
                                               const RoundSums& total) const {
    const bool masked = to.token < 0;
    const bool alone = total.weights == 0;
    const int position = masked ? ~to.token : to.token;
    const size_t at = place_.activation + static_cast<size_t>(position) * place_.stride;
    const float scale = kWork == PairWork::kPlain ? 1.0f : block_.rules.dropout_scale;
    const float factor = alone ? 0.0f : scale / total.divisor;
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      auto* out = reinterpret_cast<__nv_bfloat162*>(args_.out + at + lane_column(n));
      if (alone && !masked) {
        *out = *reinterpret_cast<const __nv_bfloat162*>(block_.value + at + lane_column(n));
      } else {
        *out = __floats2bfloat162_rn(divided(sums_[n][2 * row], factor),
                                     divided(sums_[n][2 * row + 1], factor));
      }
    }
    if (threadIdx.x % 4 != 0) return;
    args_.lse[slots_.number(position)] = masked  ? 0.0f
                                         : alone ? kSelfScore
                                                 : BinaryBase::log_of(total);
  }

  const AttentionForwardArgs& args_;
  const AttentionBlockArgs& block_;
  const ForwardMemory<D> memory_;
  const PairPlace& place_;
  const RoundSlots slots_;
  const int first_slot_;
  const int warp_row_;  // first of the warp's 16
  int2 seen_ = {};      // by any query of the block
  int next_row_ = 0;

  // For the queries lane / 4 and lane / 4 + 8 of the warp:
  uint32_t queries_[kDepth][4];
  float offset_[2] = {};
  float maximum_[2] = {kNoScore, kNoScore};
  float weights_[2] = {};
  float rounded_weights_[2] = {};
  RowSums<D> sums_ = {};  // Σ w v
};

/// Blocks that shall be resident on one multiprocessor, which bounds the registers.
constexpr int forward_blocks(int head_dim) {
  return head_dim <= 32 ? 5 : head_dim <= 64 ? 4 : 3;
}

/// Grid (blocks of 64 slots, pairs).
template <int D, PairWork kWork>
__global__ void __launch_bounds__(kBlockThreads, forward_blocks(D))
    attention_forward(const __grid_constant__ AttentionForwardArgs args) {
  extern __shared__ __align__(kTileAlignment) std::byte shared[];
  ForwardBlock<D, kWork>(args, shared).run();
}

}  // namespace reformer::cuda
