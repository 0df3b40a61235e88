// What both passes of the SIMT attention kernels start from.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/attention_pairs.cuh"
#include "kernels/cuda/attention_slots.cuh"
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/chunk.cuh"
#include "kernels/cuda/head_products.h"

namespace reformer::cuda::simt {

/// Passed to kernels by value.
template <typename E>
struct Inputs {
  /// `key_lengths` from make_key_lengths(), absent if kLocal.
  Inputs(const AttentionFrame& frame, const SlotTables& slot_tables, const View& key_lengths)
      : tables(slot_tables),
        pattern(frame.pattern),
        width(static_cast<int>(frame.pattern.head_dim)),
        rules(frame),
        query(frame.query.data<E>()),
        key(frame.key.data<E>()),
        value(frame.value.data<E>()),
        lengths(key_lengths.data<float>()),
        query_factor(query_scale(frame.pattern)),
        whole(whole_chunks(frame.pattern.head_dim, kTokenChunk,
                           {frame.query.raw(), frame.key.raw(), frame.value.raw()})) {}

  SlotTables tables;
  AttentionPattern pattern;
  int width;  // D
  PairRules rules;
  const E* query;
  const E* key;
  const E* value;
  const float* lengths;  // numbers: ‖q‖, if these are also the keys
  float query_factor;
  bool whole;  // all chunks of activations are whole and aligned

  __device__ int64_t number(const PairPlace& place, int token) const {
    return RoundSlots(tables, place).number(token);
  }

  /// 1 / ‖k‖, or 0 for a key without direction.
  __device__ float key_factor(int64_t number) const {
    if (lengths == nullptr) return 1.0f;
    const float length = lengths[number];
    return length < kShortestKey ? 0.0f : 1.0f / length;
  }

  __device__ TokenRows<E> rows(const E* activation, const PairPlace& place) const {
    return TokenRows<E>(activation, width, place, whole);
  }

  /// Fills the first `count` rows with the slots from `first` on, and the others with rows that are
  /// not there. fill(row, number) then completes each query.
  template <int kRows, typename Fill>
  __device__ void load_rows(SlotRows<kRows>& rows, Side side, const PairPlace& place, int first,
                            int count, const Fill& fill) const {
    const int row = static_cast<int>(threadIdx.x);
    if (row >= kRows) return;
    rows.set_absent(row, side);
    if (row >= count) return;
    const RoundSlots slots(tables, place);
    const int64_t at = number(place, rows.set_slot(row, side, pattern, slots, first + row));
    if (side == Side::kKey) {
      rows.scale[row] = key_factor(at);
    } else {
      rows.scale[row] = query_factor;
      fill(row, at);
    }
  }

  /// The same for the lanes of a block, and what they reach.
  template <typename Fill>
  __device__ void load_lanes(SlotRows<kLanes>& lanes, SlotReach<kLanes>& reach, Side side,
                             const TileBlock& block, const Fill& fill) const {
    load_rows(lanes, side, block.place, block.begin, block.count, fill);
    const int row = static_cast<int>(threadIdx.x);
    if (row >= kLanes) return;
    if (row < block.count) {
      reach.set(row, side, RoundSlots(tables, block.place), block.begin + row);
    } else {
      reach.set_absent(row);
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

/// Blocks for all own slots of all rounds, and for all columns.
inline dim3 tile_grid(const AttentionFrame& frame, PairGroup pairs, int width) {
  const int64_t columns = divide_up(frame.pattern.head_dim, width);
  return dim3(static_cast<unsigned>(frame.blocks()), static_cast<unsigned>(pairs.count),
              static_cast<unsigned>(columns * frame.pattern.rounds));
}
static_assert(kLanes == kBlockSlots);

/// Calls f(E{}, group, key lengths) for all groups of pairs, each with a mark of the workspace.
template <typename F>
void for_groups(Runtime& runtime, const AttentionFrame& frame, const F& f) {
  const Workspace::Mark mark(runtime.workspace());
  const View lengths =
      has_shared_query_key(frame.pattern.kind) ? make_key_lengths(runtime, frame) : View();
  with_element_type(frame.query.dtype(), [&](auto element) {
    for_pair_groups(frame.pairs(), frame.blocks() * frame.pattern.rounds, kBlocksPerGroup,
                    [&](PairGroup pairs) {
                      const Workspace::Mark group_mark(runtime.workspace());
                      f(element, pairs, lengths);
                    });
  });
}

/// Results of the rounds of a group of pairs.
inline View allocate_results(Runtime& runtime, const AttentionFrame& frame, PairGroup pairs,
                             int64_t width) {
  return runtime.workspace().allocate(DType::kFloat32, {pairs.count * frame.results(), width});
}

/// Slots of the tokens, as the row of CombineRoundsArgs.
inline View slots_of_tokens(const AttentionFrame& frame, const SlotTables& tables,
                            PairGroup pairs) {
  return View(const_cast<int*>(tables.token_slot), DType::kInt32,
              {pairs.count, frame.pattern.rounds, frame.length});
}

}  // namespace reformer::cuda::simt
