// What a block of the forward pass is given, and its shared memory.
#pragma once

#include "kernels/cuda/attention_mma_blocks.cuh"
#include "kernels/cuda/attention_rounds.cuh"

namespace reformer::cuda {

struct AttentionForwardArgs {
  AttentionBlockArgs block;
  // Of the rounds so far; R > 1 only.
  float* value_sums = nullptr;      // [pairs, T, D]: Σ w v
  RoundSums* round_sums = nullptr;  // [pairs, T]
  __nv_bfloat16* out = nullptr;
  float* lse = nullptr;
  // A part has these instead: of each round.
  float* part_sums = nullptr;     // [pairs, R, own, D]: Σ w v
  float* part_weights = nullptr;  // [pairs, R, own, kRoundWeights]: as RoundSums
};

template <int D>
struct ForwardMemory {
  /// Keys and values of 64 slots.
  struct Stage {
    std::byte* keys;
    std::byte* values;
    float* key_scale;  // [64]
    int* position;     // [64]
    int* slot_in;      // [counted_rounds, 64]
  };

  constexpr ForwardMemory(std::byte* begin, int counted_rounds) : carver(begin) {
    place = carver.take<PairPlace>(1);
    query_offset = carver.take<float>(kBlockSlots);
    query_row = carver.take<int>(kBlockSlots);
    query_position = carver.take<int>(kBlockSlots);
    query_round = carver.take<int>(kBlockSlots);
    query_seen = carver.take<int2>(kBlockSlots);
    query_seen_in = carver.take<int2>(kBlockSlots * counted_rounds);
    first = take_stage(counted_rounds);
    const int before = carver.used();
    take_stage(counted_rounds);
    stage_bytes = carver.used() - before;
  }

  constexpr Stage take_stage(int counted_rounds) {
    return {.keys = carver.take<std::byte>(kBlockSlots * 2 * D),
            .values = carver.take<std::byte>(kBlockSlots * 2 * D),
            .key_scale = carver.take<float>(kBlockSlots),
            .position = carver.take<int>(kBlockSlots),
            .slot_in = carver.take<int>(kBlockSlots * counted_rounds)};
  }

  __device__ __forceinline__ Stage stage(int step) const {
    const int skip = step % 2 * stage_bytes;
    return {.keys = first.keys + skip,
            .values = first.values + skip,
            .key_scale = first.key_scale + skip / sizeof(float),
            .position = first.position + skip / sizeof(int),
            .slot_in = first.slot_in + skip / sizeof(int)};
  }

  SharedCarver carver;
  PairPlace* place = nullptr;     // here to save registers
  float* query_offset = nullptr;  // [64]
  int* query_row = nullptr;       // [64]: as in SlotTables, negative if there is nobody
  int* query_position = nullptr;  // [64]
  int* query_round = nullptr;     // [64]
  int2* query_seen = nullptr;     // [64]
  int2* query_seen_in = nullptr;  // [counted_rounds, 64]
  Stage first = {};
  int stage_bytes = 0;
};

}  // namespace reformer::cuda
