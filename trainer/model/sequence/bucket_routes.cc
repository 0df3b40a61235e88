#include "trainer/model/sequence/bucket_routes.h"

#include <algorithm>
#include <bit>

namespace reformer {

// ---- from buckets to slots -----------------------------------------------------------------

std::vector<int64_t> count_buckets(std::span<const int32_t> bucket_of, int64_t tokens,
                                   int64_t num_buckets) {
  const auto each = static_cast<size_t>(tokens);
  const auto buckets = static_cast<size_t>(num_buckets) + 1;
  CHECK_EQ(bucket_of.size() % each, 0u);
  const size_t lists = bucket_of.size() / each;
  std::vector<int64_t> counts(lists * buckets);
  for (size_t list = 0; list < lists; ++list) {
    int64_t* const of_list = counts.data() + list * buckets;
    for (const int32_t bucket : bucket_of.subspan(list * each, each)) ++of_list[bucket];
  }
  return counts;
}

std::vector<int32_t> first_slots(std::span<const int64_t> counts, int64_t num_buckets) {
  const auto buckets = static_cast<size_t>(num_buckets) + 1;
  std::vector<int32_t> begin;
  begin.reserve(counts.size() / buckets * (buckets + 1));
  for (size_t first = 0; first < counts.size(); first += buckets) {
    int64_t slot = 0;
    begin.push_back(0);
    for (const int64_t count : counts.subspan(first, buckets)) {
      slot += count;
      begin.push_back(static_cast<int32_t>(slot));
    }
  }
  return begin;
}

void assign_slots(std::span<const int32_t> bucket_begin, std::span<const int64_t> lower,
                  int64_t tokens, int64_t num_buckets, std::span<int32_t> bucket_of) {
  const auto each = static_cast<size_t>(tokens);
  const auto buckets = static_cast<size_t>(num_buckets) + 1;
  std::vector<int32_t> next(buckets);
  for (size_t list = 0; list * each < bucket_of.size(); ++list) {
    for (size_t b = 0; b < buckets; ++b) {
      next[b] =
          bucket_begin[list * (buckets + 1) + b] + static_cast<int32_t>(lower[list * buckets + b]);
    }
    for (int32_t& value : bucket_of.subspan(list * each, each)) {
      value = next[static_cast<size_t>(value)]++;
    }
  }
}

// ---- where tokens are at home --------------------------------------------------------------

Departures departures(const SlotWindows& windows, int64_t tokens, std::span<const int32_t> slots) {
  constexpr size_t kBits = 64;
  const auto count = static_cast<size_t>(tokens);
  const size_t words = (count + kBits - 1) / kBits;
  const auto ranks = static_cast<size_t>(windows.ranks());
  Departures leaving{.tokens = {},
                     .tokens_to = std::vector<int64_t>(ranks),
                     .results_from = std::vector<int64_t>(ranks)};
  std::vector<uint64_t> goes_to(ranks * words);  // a bit for each rank and token
  for (int64_t round = 0; round < windows.rounds(); ++round) {
    const std::span<const int32_t> of_round =
        slots.subspan(static_cast<size_t>(round) * count, count);
    for (size_t token = 0; token < count; ++token) {
      const std::span<const int> holders = windows.holders(round, of_round[token]);
      ++leaving.results_from[static_cast<size_t>(holders.front())];
      for (const int rank : holders) {
        goes_to[static_cast<size_t>(rank) * words + token / kBits] |= uint64_t{1}
                                                                      << (token % kBits);
      }
    }
  }
  for (size_t rank = 0; rank < ranks; ++rank) {
    const size_t before = leaving.tokens.size();
    for (size_t word = 0; word < words; ++word) {
      for (uint64_t bits = goes_to[rank * words + word]; bits != 0; bits &= bits - 1) {
        const size_t token = word * kBits + static_cast<size_t>(std::countr_zero(bits));
        leaving.tokens.push_back(static_cast<int32_t>(token));
      }
    }
    leaving.tokens_to[rank] = static_cast<int64_t>(leaving.tokens.size() - before);
  }
  return leaving;
}

std::vector<int32_t> result_rows(const SlotWindows& windows, const Departures& departures,
                                 int64_t tokens, std::span<const int32_t> slots) {
  std::vector<int32_t> next;
  int64_t first = 0;
  for (const int64_t results : departures.results_from) {
    next.push_back(static_cast<int32_t>(first));
    first += results;
  }
  std::vector<int32_t> rows;
  rows.reserve(slots.size());
  for (int64_t round = 0; round < windows.rounds(); ++round) {
    for (const int32_t slot : slots.subspan(rows.size(), static_cast<size_t>(tokens))) {
      rows.push_back(next[static_cast<size_t>(windows.holders(round, slot).front())]++);
    }
  }
  return rows;
}

Tensor label_tokens(const SlotWindows& windows, const Departures& departures,
                    std::span<const int32_t> slots, int64_t first_position, int64_t first_masked) {
  const auto rounds = static_cast<size_t>(windows.rounds());
  const size_t count = slots.size() / rounds;
  Tensor labels(DType::kInt32,
                {static_cast<int64_t>(departures.tokens.size()), 1 + windows.rounds()});
  int32_t* next = labels.data<int32_t>();
  for (const int32_t token : departures.tokens) {
    const auto index = static_cast<size_t>(token);
    const auto position = static_cast<int32_t>(first_position + token);
    *next++ = slots[index] < first_masked ? position : ~position;
    for (size_t round = 0; round < rounds; ++round) *next++ = slots[round * count + index];
  }
  return labels;
}

// ---- where slots are -----------------------------------------------------------------------

Arrivals arrivals(const SlotWindows& windows, int rank, std::span<const int64_t> tokens_from,
                  std::span<const int32_t> labels) {
  const auto rounds = static_cast<size_t>(windows.rounds());
  const size_t count = labels.size() / (1 + rounds);
  Arrivals arrived{.position = std::vector<int32_t>(count),
                   .slot_in = std::vector<int32_t>(count * rounds),
                   .row = std::vector<int32_t>(rounds * static_cast<size_t>(windows.held(rank))),
                   .results = {}};
  size_t placed = 0;
  for (size_t token = 0; token < count; ++token) {
    const std::span<const int32_t> label = labels.subspan(token * (1 + rounds), 1 + rounds);
    arrived.position[token] = label[0];
    std::copy(label.begin() + 1, label.end(),
              arrived.slot_in.begin() + static_cast<ptrdiff_t>(token * rounds));
    for (const SlotWindows::Piece& piece : windows.pieces(rank)) {
      const int64_t slot = label[1 + static_cast<size_t>(piece.round)];
      if (!piece.slots.contains(slot)) continue;
      arrived.row[static_cast<size_t>(piece.place + slot - piece.slots.begin)] =
          static_cast<int32_t>(token);
      ++placed;
    }
  }
  CHECK_EQ(placed, arrived.row.size());

  const SlotRange own = windows.own(rank);
  arrived.results.reserve(rounds * static_cast<size_t>(own.size()));
  size_t first = 0;
  for (const int64_t from : tokens_from) {
    const size_t end = first + static_cast<size_t>(from);
    for (size_t round = 0; round < rounds; ++round) {
      for (size_t token = first; token < end; ++token) {
        const int64_t slot = arrived.slot_in[token * rounds + round];
        if (!own.contains(slot)) continue;
        arrived.results.push_back(
            static_cast<int32_t>(static_cast<int64_t>(round) * own.size() + slot - own.begin));
      }
    }
    first = end;
  }
  CHECK_EQ(first, count);
  CHECK_EQ(arrived.results.size(), rounds * static_cast<size_t>(own.size()));
  return arrived;
}

}  // namespace reformer
