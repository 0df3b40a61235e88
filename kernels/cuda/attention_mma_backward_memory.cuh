// What a block of the backward pass is given, and its shared memory.
#pragma once

#include "kernels/cuda/attention_mma_blocks.cuh"

namespace reformer::cuda {

/// Where gradients go. The rounds of a part are kept apart; else they add up, and the last round
/// writes the sum.
struct RoundGradients {
  float* sums = nullptr;         // [pairs, T, D]; of a part, [pairs, R, own, D]
  __nv_bfloat16* out = nullptr;  // an activation; not of a part
};

struct AttentionBackwardBlockArgs {
  AttentionBlockArgs block;
  const __nv_bfloat16* dout = nullptr;
  const float* lse = nullptr;    // numbers
  const float* delta = nullptr;  // numbers
  RoundGradients dquery = {};
  RoundGradients dkey = {};  // kLocal only
  RoundGradients dvalue = {};
};

/// Slots of a tile that passes by: as many as leave room for two blocks of the widest heads.
constexpr int moving_rows(int head_dim) {
  return head_dim <= 32 ? 64 : 32;
}

/// What a block walks over: first the queries that see its keys, then the keys that its queries
/// see. It is in shared memory since registers are short.
struct BackwardPath {
  int2 seeing;  // slots of queries
  int2 seen;    // slots of keys
  TileWalk queries;
  TileWalk keys;

  __device__ __forceinline__ int steps() const { return queries.count() + keys.count(); }
  __device__ __forceinline__ bool is_query(int step) const { return step < queries.count(); }
  __device__ __forceinline__ int tile(int step) const {
    return is_query(step) ? queries.tile(step) : keys.tile(step - queries.count());
  }
  __device__ __forceinline__ int2 slots(int step) const { return is_query(step) ? seeing : seen; }
};

template <int D>
struct BackwardMemory {
  /// Queries and their output gradients, or keys and values. Arrays are by row; `seen_in` and
  /// `slot_in` are [counted_rounds, rows].
  struct Stage {
    std::byte* scored;  // queries or keys
    std::byte* valued;  // output gradients or values
    int* position;
    // Queries:
    int2* seen;
    int* round;
    float* lse;
    float* delta;
    int2* seen_in;
    // Keys:
    float* key_scale;
    int* slot_in;
  };

  constexpr BackwardMemory(std::byte* begin, int counted_rounds) : carver(begin) {
    scored = carver.take<std::byte>(kTileBytes);
    values = carver.take<std::byte>(kTileBytes);
    douts = carver.take<std::byte>(kTileBytes);
    row = carver.take<int>(kBlockSlots);
    position = carver.take<int>(kBlockSlots);
    round = carver.take<int>(kBlockSlots);
    seen = carver.take<int2>(kBlockSlots);
    seeing = carver.take<int2>(kBlockSlots);
    key_scale = carver.take<float>(kBlockSlots);
    lse = carver.take<float>(kBlockSlots);
    delta = carver.take<float>(kBlockSlots);
    seen_in = carver.take<int2>(kBlockSlots * counted_rounds);
    slot_in = carver.take<int>(kBlockSlots * counted_rounds);
    place = carver.take<PairPlace>(1);
    path = carver.take<BackwardPath>(1);
    first = take_stage(counted_rounds);
    const int before = carver.used();
    take_stage(counted_rounds);
    stage_bytes = carver.used() - before;
  }

  __device__ __forceinline__ Stage stage(int step) const {
    const int skip = step % 2 * stage_bytes;
    return {.scored = first.scored + skip,
            .valued = first.valued + skip,
            .position = first.position + skip / sizeof(int),
            .seen = first.seen + skip / sizeof(int2),
            .round = first.round + skip / sizeof(int),
            .lse = first.lse + skip / sizeof(float),
            .delta = first.delta + skip / sizeof(float),
            .seen_in = first.seen_in + skip / sizeof(int2),
            .key_scale = first.key_scale + skip / sizeof(float),
            .slot_in = first.slot_in + skip / sizeof(int)};
  }

  /// The block's own slots, where they are the other side too.
  __device__ __forceinline__ Stage own_as_queries() const { return own(douts); }
  __device__ __forceinline__ Stage own_as_keys() const { return own(values); }

  SharedCarver carver;
  // Of the block's own 64 slots:
  std::byte* scored = nullptr;  // keys; of kLocal, queries in the second walk
  std::byte* values = nullptr;
  std::byte* douts = nullptr;
  int* row = nullptr;       // as in SlotTables, negative if there is nobody
  int* position = nullptr;  // kMaskedPosition if there is nobody to be seen
  int* round = nullptr;
  int2* seen = nullptr;
  int2* seeing = nullptr;
  float* key_scale = nullptr;
  float* lse = nullptr;
  float* delta = nullptr;
  int2* seen_in = nullptr;
  int* slot_in = nullptr;
  PairPlace* place = nullptr;  // like the path, to save registers
  BackwardPath* path = nullptr;
  // Of those that pass by:
  Stage first = {};
  int stage_bytes = 0;

 private:
  static constexpr int kTileBytes = kBlockSlots * 2 * D;

  constexpr Stage take_stage(int counted_rounds) {
    constexpr int kRows = moving_rows(D);
    Stage stage = {};
    stage.scored = carver.take<std::byte>(kRows * 2 * D);
    stage.valued = carver.take<std::byte>(kRows * 2 * D);
    stage.position = carver.take<int>(kRows);
    stage.seen = carver.take<int2>(kRows);
    stage.round = carver.take<int>(kRows);
    stage.lse = carver.take<float>(kRows);
    stage.delta = carver.take<float>(kRows);
    stage.seen_in = carver.take<int2>(kRows * counted_rounds);
    // A tile has queries or keys, never both.
    stage.key_scale = stage.lse;
    stage.slot_in = reinterpret_cast<int*>(stage.seen_in);
    return stage;
  }

  __device__ __forceinline__ Stage own(std::byte* valued) const {
    return {.scored = scored,
            .valued = valued,
            .position = position,
            .seen = seen,
            .round = round,
            .lse = lse,
            .delta = delta,
            .seen_in = seen_in,
            .key_scale = key_scale,
            .slot_in = slot_in};
  }
};

}  // namespace reformer::cuda
