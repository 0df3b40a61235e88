// One call of attention as its kernels see it: every slot of several sequences, or a part of the
// slots of one. A *pair* is one head of one sample, numbered sample · H + head.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace reformer::cuda {

/// Slots of one block of threads. Blocks are counted from the start of a round.
inline constexpr int kBlockSlots = 64;

/// Pairs [first, first + count).
struct PairGroup {
  int64_t first = 0;
  int64_t count = 0;
};

/// Where the numbers of tokens and heads are, such as lse: [B, H, T], or [M, H] of a part.
struct HeadNumbers {
  int64_t rows = 1;         // tokens of each sample
  int64_t row_stride = 1;   // between tokens
  int64_t head_stride = 1;  // between heads

  constexpr int64_t at(int64_t heads, int64_t sample, int64_t head, int64_t row) const {
    return sample * heads * rows + head * head_stride + row * row_stride;
  }
};

/// Numbers [B, H, T].
inline HeadNumbers numbers_by_head(int64_t length) {
  return {.rows = length, .row_stride = 1, .head_stride = length};
}
/// Numbers [rows, H].
inline HeadNumbers numbers_by_row(int64_t rows, int64_t heads) {
  return {.rows = rows, .row_stride = heads, .head_stride = 1};
}

struct AttentionFrame {
  explicit AttentionFrame(const AttentionArgs& args);
  explicit AttentionFrame(const AttentionPartArgs& args);

  int64_t pairs() const { return samples * pattern.heads; }
  SlotRing ring() const { return SlotRing(pattern, length); }
  /// Blocks of each pair and round.
  int64_t blocks() const { return (own.size() + kBlockSlots - 1) / kBlockSlots; }
  /// Results of each pair: its own slots of all rounds.
  int64_t results() const { return pattern.rounds * own.size(); }

  AttentionPattern pattern;
  int64_t samples;
  int64_t length;    // T
  int64_t rows;      // tokens of each sample in the activations: T, or M of a part
  SlotRange own;     // the slots of every round that get results
  SlotRange window;  // those around them: slots_around() of lsh_layout.h
  bool is_part;
  HeadNumbers numbers;
  int64_t first_sample;
  int64_t first_head;
  Dropout dropout;
  View query;
  View key;  // = query if shared
  View value;
  View bucket_begin;
  // Not of a part:
  View order;
  View mask;
  // Of a part, as in AttentionPartArgs:
  View position;
  View row;
  View slot_in;
};

}  // namespace reformer::cuda
