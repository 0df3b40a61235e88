#include <algorithm>

#include "kernels/cuda/attention_tables.cuh"
#include "kernels/lsh_layout.h"

namespace reformer::cuda {
namespace {

constexpr int kThreads = 256;

/// What the tables are made of, and the tables. Passed to kernels by value.
struct Numbering {
  AttentionPattern pattern;
  SlotRing ring;
  int first_pair;
  int rows;
  int window_begin;
  int window;
  const int* bucket_begin;  // [B, H, R, begins], or null
  int begins;
  // All slots: row = position.
  const int* order;     // [B, H, R, T], or null: slot = position
  const uint8_t* mask;  // [B, T] or null
  // A part:
  const int* row_in;       // [H, R, W], or null: all slots
  const int* position_of;  // [M]
  const int* slot_in;      // [H, M, R], or null

  // As in SlotTables:
  int* row;
  int* position;
  int2* seen;
  int2* seeing;  // or null
  int* token_slot;
  int2* token_seen;
};

struct Token {
  int row;
  int position;
  bool masked;
};

__device__ Token token_of_part(const Numbering& n, int row) {
  const int position = n.position_of[row];
  return {.row = row, .position = position < 0 ? ~position : position, .masked = position < 0};
}

/// `slot` counts through all rounds, and is unrolled.
__device__ Token token_in(const Numbering& n, int64_t pair, int round, int64_t slot) {
  if (n.row_in != nullptr) {
    const int64_t list = (pair * n.pattern.rounds + round) * n.window;
    const int64_t at = slot - round * n.ring.length() - n.window_begin;
    return token_of_part(n, n.row_in[list + at]);
  }
  const int64_t wrapped = n.ring.wrap(slot);
  const int position =
      n.order == nullptr ? static_cast<int>(wrapped) : n.order[pair * n.ring.size() + wrapped];
  const int64_t sample = pair / n.pattern.heads;
  return {.row = position,
          .position = position,
          .masked = n.mask != nullptr && n.mask[sample * n.ring.length() + position] == 0};
}

/// The bucket of an unrolled slot: the last one that begins at it or before.
__device__ SlotRange bucket_around(const Numbering& n, int64_t pair, int64_t slot) {
  if (!sees_own_bucket_only(n.pattern)) return {};
  const int64_t wrapped = n.ring.wrap(slot);
  const int64_t round = wrapped / n.ring.length();
  const int64_t of_round = wrapped - round * n.ring.length();
  const int* const begin = n.bucket_begin + (pair * n.pattern.rounds + round) * n.begins;
  int low = 0;
  int high = n.begins - 1;  // begin[low] <= of_round < begin[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (begin[middle] <= of_round) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const int64_t start = slot - of_round;
  return {start + begin[low], start + begin[high]};
}

/// Counted from `start`; empty ranges begin at the slot.
__device__ int2 narrow(SlotRange range, int64_t slot, int64_t start) {
  if (range.empty()) range = {slot, slot};
  return make_int2(static_cast<int>(range.begin - start), static_cast<int>(range.end - start));
}

__device__ SlotRange seen_from(const Numbering& n, int64_t pair, int64_t slot, bool masked) {
  if (masked) return {};
  return keys_seen_from(n.pattern, n.ring, slot, bucket_around(n, pair, slot));
}

/// Grid (slots of the window, rounds, pairs).
__global__ void __launch_bounds__(kThreads) number_slots(Numbering n) {
  const int index = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (index >= n.window) return;
  const int rounds = static_cast<int>(n.pattern.rounds);
  const int round = static_cast<int>(blockIdx.y);
  const int64_t pair = n.first_pair + static_cast<int64_t>(blockIdx.z);
  const int64_t start = round * n.ring.length();
  const int of_round = n.window_begin + index;
  const int64_t slot = start + of_round;
  const Token token = token_in(n, pair, round, slot);
  const SlotRange seen = seen_from(n, pair, slot, token.masked);

  const int64_t group_list = static_cast<int64_t>(blockIdx.z) * rounds + round;
  const int64_t at = group_list * n.window + index;
  n.row[at] = token.masked ? ~token.row : token.row;
  n.position[at] = token.masked ? kMaskedPosition : token.position;
  n.seen[at] = narrow(seen, slot, start);
  if (n.seeing != nullptr) {
    const SlotRange seeing =
        token.masked ? SlotRange{}
                     : queries_seeing(n.pattern, n.ring, slot, bucket_around(n, pair, slot));
    n.seeing[at] = narrow(seeing, slot, start);
  }
  // Slots of the rounds beside this one are written where they belong.
  if (n.row_in != nullptr || of_round < 0 || of_round >= n.ring.length()) return;
  const int64_t by_row = group_list * n.rows + token.row;
  if (n.token_slot != nullptr) n.token_slot[by_row] = static_cast<int>(slot);
  if (n.token_seen != nullptr) n.token_seen[by_row] = narrow(seen, slot, 0);
}

/// The tables by row of a part. Grid (rows, rounds, pairs).
__global__ void __launch_bounds__(kThreads) number_tokens(Numbering n) {
  const int row = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (row >= n.rows) return;
  const int64_t rounds = n.pattern.rounds;
  const int round = static_cast<int>(blockIdx.y);
  const int64_t pair = n.first_pair + static_cast<int64_t>(blockIdx.z);
  const int64_t slot = round * n.ring.length() + n.slot_in[(pair * n.rows + row) * rounds + round];
  const int64_t by_row = (static_cast<int64_t>(blockIdx.z) * rounds + round) * n.rows + row;
  n.token_slot[by_row] = static_cast<int>(slot);
  n.token_seen[by_row] = narrow(seen_from(n, pair, slot, token_of_part(n, row).masked), slot, 0);
}

}  // namespace

SlotTables make_slot_tables(Runtime& runtime, const AttentionFrame& frame, PairGroup pairs,
                            TableNeeds needs) {
  const AttentionPattern& pattern = frame.pattern;
  const int64_t window = frame.window.size();
  const auto integers = [&](int64_t width) {
    return runtime.workspace()
        .allocate(DType::kInt32, {pairs.count, pattern.rounds, width})
        .data<int32_t>();
  };
  const auto ranges = [&](int64_t width) { return reinterpret_cast<int2*>(integers(2 * width)); };
  const bool hashed = is_hashed(pattern.kind);
  const bool counts = corrects_duplicates(pattern);
  const Numbering numbering{
      .pattern = pattern,
      .ring = frame.ring(),
      .first_pair = static_cast<int>(pairs.first),
      .rows = static_cast<int>(frame.rows),
      .window_begin = static_cast<int>(frame.window.begin),
      .window = static_cast<int>(window),
      .bucket_begin = frame.bucket_begin.data<int32_t>(),
      .begins = hashed ? static_cast<int>(
                             frame.bucket_begin.shape()[frame.bucket_begin.shape().rank() - 1])
                       : 0,
      .order = frame.order.data<int32_t>(),
      .mask = frame.mask.data<uint8_t>(),
      .row_in = frame.row.data<int32_t>(),
      .position_of = frame.position.data<int32_t>(),
      .slot_in = frame.slot_in.data<int32_t>(),
      .row = integers(window),
      .position = integers(window),
      .seen = ranges(window),
      .seeing = needs.seeing ? ranges(window) : nullptr,
      .token_slot = counts || needs.token_slot ? integers(frame.rows) : nullptr,
      .token_seen = counts ? ranges(frame.rows) : nullptr};
  const auto grid = [&](int64_t width) {
    return dim3(static_cast<unsigned>(divide_up(width, kThreads)),
                static_cast<unsigned>(pattern.rounds), static_cast<unsigned>(pairs.count));
  };
  launch(runtime, number_slots, grid(window), dim3(kThreads), 0, numbering);
  if (frame.is_part && counts) {
    launch(runtime, number_tokens, grid(frame.rows), dim3(kThreads), 0, numbering);
  }
  return {.length = static_cast<int>(frame.length),
          .rounds = static_cast<int>(pattern.rounds),
          .heads = static_cast<int>(pattern.heads),
          .first_pair = static_cast<int>(pairs.first),
          .rows = static_cast<int>(frame.rows),
          .own_begin = static_cast<int>(frame.own.begin),
          .own_end = static_cast<int>(frame.own.end),
          .window_begin = static_cast<int>(frame.window.begin),
          .window = static_cast<int>(window),
          .numbers = frame.numbers,
          .row = numbering.row,
          .position = numbering.position,
          .seen = numbering.seen,
          .seeing = numbering.seeing,
          .token_slot = numbering.token_slot,
          .token_seen = numbering.token_seen};
}

}  // namespace reformer::cuda
