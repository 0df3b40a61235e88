// What the tensor-core kernels of attention look up: who stands in a slot and what is seen from
// there, so that they need to know nothing of patterns, buckets, chunks and masks; and a number for
// each token and head.
//
// A *pair* is one head of one sample, numbered sample · H + head. The kernels run over groups of
// pairs, so that the tables of a long sequence stay small.
#pragma once

#include <climits>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/primitives.cuh"

namespace reformer::cuda {

/// In place of the position of a token that nobody sees, and that sees nobody.
inline constexpr int kMaskedPosition = INT_MAX;

/// Pairs [first, first + count).
struct PairGroup {
  int64_t first = 0;
  int64_t count = 0;
};

/// Device pointers, by slot unless said otherwise. Ranges are half open; a token that is masked or
/// sees nobody has an empty one.
struct SlotTables {
  int length = 0;  // T
  int rounds = 0;  // R
  int heads = 0;
  int first_pair = 0;
  const int* token = nullptr;    // [pairs, R, T]: position, or ~position if masked
  const int2* seen = nullptr;    // [pairs, R, T]: slots of the keys that this query may see,
                                 // counted from the start of its own round, unrolled (lsh_layout.h)
  const int2* seeing = nullptr;  // [pairs, R, T]: slots that hold the queries that see this key;
                                 // backward pass only
  // With correct_duplicates, by position and counted from slot 0 of round 0:
  const int* token_slot = nullptr;   // [pairs, R, T]
  const int2* token_seen = nullptr;  // [pairs, R, T]
};

/// Fills tables in the workspace.
SlotTables make_slot_tables(Runtime& runtime, const AttentionArgs& args, PairGroup pairs,
                            bool backward);

/// [B, H, T] in the workspace: what a product with the key is multiplied by to be a score, 1 / ‖k‖
/// (0 for a key without direction), or 1 / √D if kLocal.
View make_key_scales(Runtime& runtime, const AttentionArgs& args);

/// [B, H, T] in the workspace: dout·out of each token and head.
View make_deltas(Runtime& runtime, const AttentionBackwardArgs& args);

/// Where the pair of a block, number blockIdx.y of its group, is in what it reads and writes.
struct PairPlace {
  PairPlace() = default;
  __device__ __forceinline__ PairPlace(const SlotTables& tables, int head_dim)
      : in_group(static_cast<int>(blockIdx.y)),
        sample((tables.first_pair + in_group) / tables.heads),
        head((tables.first_pair + in_group) % tables.heads),
        stride(tables.heads * head_dim),
        slots(static_cast<size_t>(in_group) * tables.rounds * tables.length),
        list(static_cast<size_t>(tables.first_pair + in_group) * tables.length),
        activation(static_cast<size_t>(sample) * tables.length * stride + head * head_dim) {}

  int in_group;
  int sample;
  int head;
  int stride;         // between tokens of an activation
  size_t slots;       // offset of round 0 in the tables
  size_t list;        // offset of token 0 in [B, H, T]
  size_t activation;  // and in an activation
};

/// The slots around one round of one pair. They are counted from the start of the round, and may
/// lie in the rounds beside it: −T <= slot < 2T.
class RoundSlots {
 public:
  /// Keeps references.
  __device__ __forceinline__ RoundSlots(const SlotTables& tables, const PairPlace& place, int round)
      : tables_(tables), place_(place), round_(round) {}

  __device__ __forceinline__ int length() const { return tables_.length; }

  /// Position, or ~position if masked.
  __device__ __forceinline__ int token(int slot) const { return tables_.token[index(slot)]; }

  __device__ __forceinline__ int2 seen(int slot) const {
    const int2 range = tables_.seen[index(slot)];
    const int start = round_start(slot);
    return make_int2(range.x + start, range.y + start);
  }

  /// REQUIRES: 0 <= slot < T.
  __device__ __forceinline__ int2 seeing(int slot) const { return tables_.seeing[index(slot)]; }

  __device__ __forceinline__ int round(int slot) const {
    const int round = round_ + (slot < 0 ? -1 : slot >= length() ? 1 : 0);
    return round < 0 ? round + tables_.rounds : round == tables_.rounds ? 0 : round;
  }

  /// With correct_duplicates: the slot of a token in some round, and the keys seen from there.
  __device__ __forceinline__ const int* token_slot(int round, int position) const {
    return tables_.token_slot + place_.slots + static_cast<size_t>(round) * length() + position;
  }
  __device__ __forceinline__ const int2* token_seen(int round, int position) const {
    return tables_.token_seen + place_.slots + static_cast<size_t>(round) * length() + position;
  }

 private:
  __device__ __forceinline__ int round_start(int slot) const {
    return slot < 0 ? -length() : slot >= length() ? length() : 0;
  }
  __device__ __forceinline__ size_t index(int slot) const {
    const int ring = tables_.rounds * length();
    int wrapped = round_ * length() + slot;
    if (wrapped < 0) wrapped += ring;
    if (wrapped >= ring) wrapped -= ring;
    return place_.slots + wrapped;
  }

  const SlotTables& tables_;
  const PairPlace& place_;
  int round_;
};

}  // namespace reformer::cuda
