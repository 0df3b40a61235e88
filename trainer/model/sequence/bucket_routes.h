// Which tokens travel between ranks that own slots (slot_windows.h): pure functions of arrays on
// the host. No token order is ever computed: buckets are counted, counts are summed over the ranks,
// and what each token gets is its slot in every round; all else follows from the slots.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/view.h"
#include "trainer/model/sequence/slot_windows.h"

namespace reformer {

// ---- from buckets to slots -----------------------------------------------------------------
// L lists, one for each sample, head and round; T tokens here, in the order of their positions.
// N + 1 buckets, the last of them for masked tokens.

/// How many tokens are in each bucket, [L, N + 1]. bucket_of [L, T].
std::vector<int64_t> count_buckets(std::span<const int32_t> bucket_of, int64_t tokens,
                                   int64_t num_buckets);

/// First slot of each bucket, [L, N + 2], where `counts` [L, N + 1] are those of all ranks
/// together.
std::vector<int32_t> first_slots(std::span<const int64_t> counts, int64_t num_buckets);

/// Replaces the bucket of each token by its slot: that of a stable sort of all ranks' tokens by
/// (bucket, position). bucket_begin as above; `lower` [L, N + 1] are the counts of all lower ranks,
/// whose positions are lower.
void assign_slots(std::span<const int32_t> bucket_begin, std::span<const int64_t> lower,
                  int64_t tokens, int64_t num_buckets, std::span<int32_t> bucket_of);

// ---- one sample and head, where its tokens are at home -------------------------------------
// slots [R, T]: slot of every token here in every round.

struct Departures {
  std::vector<int32_t> tokens;        // for each rank in turn, those that it holds, ascending
  std::vector<int64_t> tokens_to;     // [ranks]: how many of them
  std::vector<int64_t> results_from;  // [ranks]: how many slots of tokens from here the rank owns
};

/// Each token goes once to each rank that has one of its slots in any window.
Departures departures(const SlotWindows& windows, int64_t tokens, std::span<const int32_t> slots);

/// Where the results of every token are, [R, T], among those that come back: rank by rank, from
/// each round by round, and of each in the order of the tokens.
std::vector<int32_t> result_rows(const SlotWindows& windows, const Departures& departures,
                                 int64_t tokens, std::span<const int32_t> slots);

/// What is said of each token that travels, Int32 [tokens.size(), 1 + R]: its position, ~position
/// if it is masked, and its slots. Slots from `first_masked` on are those of masked tokens.
Tensor label_tokens(const SlotWindows& windows, const Departures& departures,
                    std::span<const int32_t> slots, int64_t first_position, int64_t first_masked);

// ---- the same, where its slots are ---------------------------------------------------------

/// M tokens that arrived, rank by rank.
struct Arrivals {
  std::vector<int32_t> position;  // [M], as in AttentionPartArgs
  std::vector<int32_t> slot_in;   // [M, R]
  std::vector<int32_t> row;       // [R, held]: in [0, M)
  std::vector<int32_t> results;   // own slots, r · own.size() + place, in the order of result_rows
};

/// What `rank` makes of the labels [M, 1 + R] that came from each rank in turn, `tokens_from` from
/// each. REQUIRES: they are those of all tokens that it holds.
Arrivals arrivals(const SlotWindows& windows, int rank, std::span<const int64_t> tokens_from,
                  std::span<const int32_t> labels);

}  // namespace reformer
