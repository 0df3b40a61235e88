// What both passes of the SIMT attention kernels start from: their inputs, and the tables that are
// made of these first.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/attention_pairs.cuh"
#include "kernels/cuda/attention_slots.cuh"
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/chunk.cuh"

namespace reformer::cuda::simt {

// ---- tables (attention_simt_tables.cu), in the workspace -------------------------------------

/// [B, H, T]: a·b of each token and head in two activations.
View make_head_dots(Runtime& runtime, const AttentionArgs& args, const View& a, const View& b);

/// [B, H, T]: ‖q‖; absent if kLocal.
View make_query_lengths(Runtime& runtime, const AttentionArgs& args);

/// With correct_duplicates, where each token stands in every round.
PairRules make_pair_rules(Runtime& runtime, const AttentionArgs& args);

/// A Float32 array of the shape of an activation for sums over rounds: itself, if it is Float32.
View make_sums(Runtime& runtime, const View& activation);

// ---- inputs ----------------------------------------------------------------------------------

/// Passed to kernels by value.
template <typename E>
struct Inputs {
  Inputs(Runtime& runtime, const AttentionArgs& args)
      : slots(args),
        rules(make_pair_rules(runtime, args)),
        query(args.query.data<E>()),
        key(has_shared_query_key(args.pattern.kind) ? query : args.key.data<E>()),
        value(args.value.data<E>()),
        lengths(make_query_lengths(runtime, args).template data<float>()),
        query_factor(query_scale(args.pattern)),
        whole(whole_chunks(args.pattern.head_dim, kTokenChunk,
                           {args.query.raw(), key, args.value.raw()})) {}

  SlotMap slots;
  PairRules rules;
  const E* query;
  const E* key;
  const E* value;
  const float* lengths;  // [B, H, T]: ‖q‖, if these are also the keys
  float query_factor;
  bool whole;  // all chunks of activations are whole and aligned

  /// Index in [B, H, T].
  __device__ int64_t token(int64_t sample_head, int32_t position) const {
    return sample_head * slots.ring.length() + position;
  }

  /// 1 / ‖k‖, or 0 for a key without direction.
  __device__ float key_factor(int64_t token) const {
    if (lengths == nullptr) return 1.0f;
    const float length = lengths[token];
    return length < kShortestKey ? 0.0f : 1.0f / length;
  }

  /// Fills the first `count` rows with the slots from `first` on, and the others with rows that are
  /// not there. fill(row, token) then completes each query.
  template <int kRows, typename Fill>
  __device__ void load_rows(SlotRows<kRows>& rows, Side side, const TileBlock& block, int64_t first,
                            int count, const Fill& fill) const {
    const int row = static_cast<int>(threadIdx.x);
    if (row >= kRows) return;
    rows.set_absent(row, side);
    if (row >= count) return;
    const int64_t at =
        token(block.sample_head, rows.set_slot(row, side, slots, block.sample_head, first + row));
    if (side == Side::kKey) {
      rows.scale[row] = key_factor(at);
    } else {
      rows.scale[row] = query_factor;
      fill(row, at);
    }
  }
};

/// Calls f(std::integral_constant) with the columns of sums that a block has.
template <typename F>
void with_tile_width(int64_t head_dim, const F& f) {
  if (head_dim <= 32) {
    f(std::integral_constant<int, 32>{});
  } else if (head_dim <= 64) {
    f(std::integral_constant<int, 64>{});
  } else {
    f(std::integral_constant<int, 128>{});
  }
}

/// Blocks for all slots of a round, and for all columns.
inline dim3 tile_grid(const AttentionArgs& args, int width) {
  return dim3(static_cast<unsigned>(TileBlock::blocks(args)),
              static_cast<unsigned>(divide_up(args.pattern.head_dim, width)));
}

}  // namespace reformer::cuda::simt
