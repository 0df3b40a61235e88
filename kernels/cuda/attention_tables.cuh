// What the kernels of attention look up: who stands in a slot and what is seen from there, so that
// they need to know nothing of patterns, buckets, chunks, masks, and of where tokens are.
//
// The kernels run over groups of pairs, so that the tables of a long sequence stay small.
#pragma once

#include <climits>
#include <cstdint>

#include "kernels/cuda/attention_frame.h"
#include "kernels/cuda/primitives.cuh"

namespace reformer::cuda {

/// In place of the position of a token that nobody sees, and that sees nobody.
inline constexpr int kMaskedPosition = INT_MAX;

/// Device pointers. Slots are counted from the start of their own round, and unrolled
/// (lsh_layout.h): those of a window may lie in the rounds beside it. Ranges are half open; a token
/// that is masked or sees nobody has an empty one.
struct SlotTables {
  int length = 0;  // T
  int rounds = 0;  // R
  int heads = 0;
  int first_pair = 0;
  int rows = 0;       // tokens of each sample in the activations
  int own_begin = 0;  // the slots that get results: [own_begin, own_end)
  int own_end = 0;
  int window_begin = 0;  // the slots of the tables: W from here on
  int window = 0;        // W
  HeadNumbers numbers;
  const int* row = nullptr;       // [pairs, R, W]: of the token in its sample, or ~row if masked
  const int* position = nullptr;  // [pairs, R, W]: of the token in the sequence, or kMaskedPosition
  const int2* seen = nullptr;     // [pairs, R, W]: slots of the keys that this query may see
  const int2* seeing = nullptr;   // [pairs, R, W]: slots of the queries that see this key
  // By row, and counted from slot 0 of round 0:
  const int* token_slot = nullptr;   // [pairs, R, rows]
  const int2* token_seen = nullptr;  // [pairs, R, rows]; with correct_duplicates only
};

/// Which of them are needed besides; with correct_duplicates, those by row are made in any case.
struct TableNeeds {
  bool seeing = false;
  bool token_slot = false;  // not of a part
};

/// Fills tables in the workspace.
SlotTables make_slot_tables(Runtime& runtime, const AttentionFrame& frame, PairGroup pairs,
                            TableNeeds needs);

/// Where one pair, number blockIdx.y of its group, and one round are in what a block reads and
/// writes.
struct PairPlace {
  PairPlace() = default;
  __device__ __forceinline__ PairPlace(const SlotTables& tables, int head_dim, int of_round)
      : in_group(static_cast<int>(blockIdx.y)),
        sample((tables.first_pair + in_group) / tables.heads),
        head((tables.first_pair + in_group) % tables.heads),
        round(of_round),
        stride(tables.heads * head_dim),
        slots(static_cast<int64_t>(in_group * tables.rounds + round) * tables.window -
              tables.window_begin),
        results(static_cast<int64_t>(in_group * tables.rounds + round) *
                    (tables.own_end - tables.own_begin) -
                tables.own_begin),
        tokens(static_cast<int64_t>(in_group) * tables.rounds * tables.rows),
        list(tables.numbers.at(tables.heads, sample, head, 0)),
        activation(static_cast<int64_t>(sample) * tables.rows * stride + head * head_dim) {}

  int in_group;
  int sample;
  int head;
  int round;
  int stride;          // between tokens of an activation
  int64_t slots;       // offset of slot 0 in the tables
  int64_t results;     // and in results by own slot, [pairs, R, own]
  int64_t tokens;      // offset of row 0 and round 0 in the tables by row
  int64_t list;        // offset of row 0 in numbers
  int64_t activation;  // and in an activation
};

/// The slots around one round of one pair.
class RoundSlots {
 public:
  /// Keeps references.
  __device__ __forceinline__ RoundSlots(const SlotTables& tables, const PairPlace& place)
      : tables_(tables), place_(place) {}

  __device__ __forceinline__ int length() const { return tables_.length; }

  /// REQUIRES of all `slot`: within the window.
  __device__ __forceinline__ int row(int slot) const { return tables_.row[place_.slots + slot]; }
  __device__ __forceinline__ const int* position(int slot) const {
    return tables_.position + place_.slots + slot;
  }
  __device__ __forceinline__ int2 seen(int slot) const { return tables_.seen[place_.slots + slot]; }
  __device__ __forceinline__ int2 seeing(int slot) const {
    return tables_.seeing[place_.slots + slot];
  }

  /// Index of a token's row in the numbers of tokens and heads.
  __device__ __forceinline__ int64_t number(int row) const {
    return place_.list + row * tables_.numbers.row_stride;
  }

  __device__ __forceinline__ int round(int slot) const {
    const int round = place_.round + (slot < 0 ? -1 : slot >= length() ? 1 : 0);
    return round < 0 ? round + tables_.rounds : round == tables_.rounds ? 0 : round;
  }

  /// With correct_duplicates: the slot of a token in some round, and the keys seen from there.
  __device__ __forceinline__ const int* token_slot(int round, int row) const {
    return tables_.token_slot + token(round, row);
  }
  __device__ __forceinline__ const int2* token_seen(int round, int row) const {
    return tables_.token_seen + token(round, row);
  }

 private:
  __device__ __forceinline__ int64_t token(int round, int row) const {
    return place_.tokens + static_cast<int64_t>(round) * tables_.rows + row;
  }

  const SlotTables& tables_;
  const PairPlace& place_;
};

/// Calls f(PairGroup) for all pairs, in groups of about `blocks` blocks of slots; a pair has
/// `blocks_of_pair`. Groups do not depend on the device, and results do not depend on them.
template <typename F>
void for_pair_groups(int64_t pairs, int64_t blocks_of_pair, int64_t blocks, const F& f) {
  constexpr int64_t kMostPairs = 65535;  // limit of the grid's y and z
  const int64_t group =
      std::min(kMostPairs, divide_up(blocks, std::max<int64_t>(1, blocks_of_pair)));
  for (int64_t first = 0; first < pairs; first += group) {
    f(PairGroup{.first = first, .count = std::min(group, pairs - first)});
  }
}

/// Blocks of one group that fill any device several times over. Sums of rounds then take little
/// memory, and mostly stay in its L2 cache.
inline constexpr int64_t kBlocksPerGroup = 1024;

}  // namespace reformer::cuda
