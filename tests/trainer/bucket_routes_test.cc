// Slots without a sort, and who sends which tokens where: all ranks at once, against a sort of the
// whole sequence.
#include "trainer/model/sequence/bucket_routes.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "comm/sequence_group.h"
#include "tests/kernels/op_testing.h"
#include "tests/reference/lsh.h"

namespace reformer {
namespace {

using Integers = std::vector<int32_t>;

struct Case {
  std::string name;
  AttentionKind kind = AttentionKind::kStrict;
  bool causal = true;
  int64_t rounds = 1;
  int64_t length = 100;
  int64_t chunk_length = 4;
  int64_t block = 1;
  int64_t num_buckets = 8;
  bool one_bucket = false;  // all tokens in it
  bool masked = false;      // some tokens
  int ranks = 4;
};

std::vector<Case> cases() {
  using enum AttentionKind;
  std::vector<Case> all;
  for (const int ranks : {1, 2, 3, 4, 8}) {
    for (const Case& c : std::vector<Case>{
             {.name = "strict"},
             {.name = "strict, rounds", .rounds = 4, .masked = true},
             {.name = "strict, one bucket", .rounds = 2, .one_bucket = true},
             {.name = "strict, window longer than a share", .rounds = 2, .chunk_length = 20},
             {.name = "strict, blocks", .rounds = 2, .length = 203, .block = 6},
             {.name = "more buckets than tokens", .rounds = 3, .num_buckets = 300},
             {.name = "chunked", .kind = kChunked},
             {.name = "chunked, not causal", .kind = kChunked, .causal = false, .rounds = 3},
             {.name = "chunked, odd length", .kind = kChunked, .rounds = 3, .length = 101},
             {.name = "chunked, not causal, odd length",
             .kind = kChunked,
             .causal = false,
             .rounds = 2,
             .length = 97,
             .masked = true},
             {.name = "chunked, few chunks", .kind = kChunked, .rounds = 2, .length = 9},
             {.name = "chunked, two chunks, not causal",
             .kind = kChunked,
             .causal = false,
             .length = 8},
             {.name = "chunked, less than a chunk each round",
             .kind = kChunked,
             .causal = false,
             .rounds = 4,
             .length = 9,
             .chunk_length = 20}}) {
      all.push_back(c);
      all.back().ranks = ranks;
    }
  }
  return all;
}

AttentionPattern pattern_of(const Case& c) {
  AttentionPattern pattern;
  pattern.kind = c.kind;
  pattern.causal = c.causal;
  pattern.rounds = c.rounds;
  pattern.chunk_length = c.chunk_length;
  return pattern;
}

/// One sample and head, whole and shared.
struct Shared {
  explicit Shared(const Case& c)
      : windows(pattern_of(c), c.length, c.block, c.ranks),
        tokens(share_tokens(c.length, /*leaf=*/1, c.ranks)) {
    testing::Random random(7);
    const auto last = static_cast<int32_t>(c.one_bucket ? 0 : c.num_buckets - 1);
    const Tensor buckets = random.integers({c.rounds, c.length}, 0, last);
    bucket_of.assign(buckets.data<int32_t>(), buckets.data<int32_t>() + buckets.elements());
    for (int64_t token = 0; c.masked && token < c.length; token += 3) {
      for (int64_t round = 0; round < c.rounds; ++round) {
        bucket_of[static_cast<size_t>(round * c.length + token)] =
            static_cast<int32_t>(c.num_buckets);
      }
    }
    const reference::SortedBuckets sorted =
        reference::bucket_sort(bucket_of, c.length, c.num_buckets);
    order = sorted.order;
    bucket_begin = sorted.bucket_begin;
  }

  /// Of the tokens of a rank, [R, T of the rank].
  Integers share(int rank, const Integers& whole) const {
    const Slice& own = tokens[static_cast<size_t>(rank)];
    Integers part;
    for (int64_t round = 0; round < windows.rounds(); ++round) {
      const auto begin = whole.begin() + round * windows.length();
      part.insert(part.end(), begin + own.begin, begin + own.end);
    }
    return part;
  }

  Integers slots() const {
    Integers slot_of(order.size());
    for (int64_t i = 0; i < static_cast<int64_t>(order.size()); ++i) {
      const int64_t round = i / windows.length();
      slot_of[static_cast<size_t>(round * windows.length() + order[static_cast<size_t>(i)])] =
          static_cast<int32_t>(i % windows.length());
    }
    return slot_of;
  }

  SlotWindows windows;
  std::vector<Slice> tokens;  // of each rank
  Integers bucket_of;         // [R, T]
  Integers order;             // [R, T]
  Integers bucket_begin;      // [R, N + 2]
};

class BucketRoutesTest : public ::testing::TestWithParam<Case> {};

TEST_P(BucketRoutesTest, CountsGiveTheSlotsOfASort) {
  const Case& c = GetParam();
  const Shared shared(c);
  const int64_t buckets = c.num_buckets;
  std::vector<int64_t> lower(static_cast<size_t>(c.rounds * (buckets + 1)));
  for (int rank = 0; rank < c.ranks; ++rank) {
    const int64_t count = shared.tokens[static_cast<size_t>(rank)].elements();
    if (count == 0) continue;
    Integers slots = shared.share(rank, shared.bucket_of);
    const std::vector<int64_t> counts = count_buckets(slots, count, buckets);
    assign_slots(shared.bucket_begin, lower, count, buckets, slots);
    EXPECT_EQ(slots, shared.share(rank, shared.slots())) << "rank " << rank;
    std::transform(lower.begin(), lower.end(), counts.begin(), lower.begin(), std::plus<>());
  }
  EXPECT_EQ(first_slots(lower, buckets), shared.bucket_begin);
}

TEST_P(BucketRoutesTest, WindowsAreWhatTheSlotsNeed) {
  const Case& c = GetParam();
  const SlotWindows windows(pattern_of(c), c.length, c.block, c.ranks);
  const SlotRing ring(pattern_of(c), c.length);
  int64_t next = 0;
  for (int rank = 0; rank < c.ranks; ++rank) {
    const SlotRange own = windows.own(rank);
    EXPECT_EQ(own.begin, next);
    EXPECT_EQ(own.begin % c.chunk_length, 0);
    EXPECT_EQ(own.begin % c.block, 0);
    next = own.end;
    std::vector<std::pair<int64_t, int64_t>> listed;  // rounds and slots
    for (const SlotWindows::Piece& piece : windows.pieces(rank)) {
      EXPECT_EQ(piece.place, static_cast<int64_t>(listed.size()));
      for (int64_t s = piece.slots.begin; s < piece.slots.end; ++s) {
        listed.emplace_back(piece.round, s);
      }
    }
    std::vector<std::pair<int64_t, int64_t>> needed;
    const SlotRange around = slots_around(pattern_of(c), ring, own);
    for (int64_t round = 0; round < c.rounds && !own.empty(); ++round) {
      for (int64_t s = around.begin; s < around.end; ++s) {
        const int64_t slot = (round * c.length + s + ring.size()) % ring.size();
        needed.emplace_back(slot / c.length, slot % c.length);
      }
    }
    EXPECT_EQ(listed, needed) << "rank " << rank;
    for (int64_t round = 0; round < c.rounds; ++round) {
      for (int64_t slot = 0; slot < c.length; ++slot) {
        const std::span<const int> holders = windows.holders(round, slot);
        EXPECT_EQ(holders.front() == rank, own.contains(slot));
        EXPECT_EQ(std::count(holders.begin(), holders.end(), rank),
                  std::count(listed.begin(), listed.end(), std::pair(round, slot)) > 0);
      }
    }
  }
  EXPECT_EQ(next, c.length);
}

TEST_P(BucketRoutesTest, TokensFindTheirWindowsAndResultsTheirTokens) {
  const Case& c = GetParam();
  const Shared shared(c);
  const SlotWindows& windows = shared.windows;
  const Integers slots = shared.slots();
  const auto rounds = static_cast<size_t>(c.rounds);

  std::vector<Departures> leaving;
  std::vector<Tensor> labels;
  for (int rank = 0; rank < c.ranks; ++rank) {
    const Slice& own = shared.tokens[static_cast<size_t>(rank)];
    const Integers part = shared.share(rank, slots);
    leaving.push_back(departures(windows, own.elements(), part));
    labels.push_back(label_tokens(windows, leaving.back(), part, own.begin,
                                  shared.bucket_begin[static_cast<size_t>(c.num_buckets)]));
    EXPECT_LE(static_cast<int64_t>(leaving.back().tokens.size()),
              windows.most_tokens_sent(own.elements()));
  }

  // What travels: the labels, and back from every own slot r · T + s the number that says so.
  std::vector<std::vector<Integers>> results(static_cast<size_t>(c.ranks));  // [home][owner]
  for (int rank = 0; rank < c.ranks; ++rank) {
    const auto to = static_cast<size_t>(rank);
    std::vector<int64_t> tokens_from;
    Integers received;
    for (int home = 0; home < c.ranks; ++home) {
      const auto from = static_cast<size_t>(home);
      const std::vector<int64_t>& counts = leaving[from].tokens_to;
      const int64_t before = std::accumulate(counts.begin(), counts.begin() + rank, int64_t{0});
      const int32_t* const begin = labels[from].data<int32_t>() + before * (1 + c.rounds);
      received.insert(received.end(), begin, begin + counts[to] * (1 + c.rounds));
      tokens_from.push_back(counts[to]);
    }
    const Arrivals arrived = arrivals(windows, rank, tokens_from, received);
    EXPECT_LE(static_cast<int64_t>(arrived.position.size()), windows.most_tokens_held(rank));
    EXPECT_EQ(std::set<int32_t>(arrived.position.begin(), arrived.position.end()).size(),
              arrived.position.size())
        << "a token arrived twice";

    for (size_t token = 0; token < arrived.position.size(); ++token) {
      const int32_t label = arrived.position[token];
      const int32_t position = label < 0 ? ~label : label;
      EXPECT_EQ(label < 0, shared.bucket_of[static_cast<size_t>(position)] == c.num_buckets);
      for (size_t round = 0; round < rounds; ++round) {
        EXPECT_EQ(arrived.slot_in[token * rounds + round],
                  slots[round * static_cast<size_t>(c.length) + static_cast<size_t>(position)]);
      }
    }
    ASSERT_EQ(static_cast<int64_t>(arrived.row.size()), c.rounds * windows.held(rank));
    for (const SlotWindows::Piece& piece : windows.pieces(rank)) {
      for (int64_t s = piece.slots.begin; s < piece.slots.end; ++s) {
        const int32_t row = arrived.row[static_cast<size_t>(piece.place + s - piece.slots.begin)];
        const int32_t label = arrived.position[static_cast<size_t>(row)];
        EXPECT_EQ(label < 0 ? ~label : label,
                  shared.order[static_cast<size_t>(piece.round * c.length + s)]);
      }
    }

    const SlotRange own = windows.own(rank);
    auto result = arrived.results.begin();
    for (size_t home = 0; home < results.size(); ++home) {
      Integers& back = results[home].emplace_back();
      for (int64_t i = 0; i < leaving[home].results_from[to]; ++i, ++result) {
        back.push_back(static_cast<int32_t>(*result / own.size() * c.length + own.begin +
                                            *result % own.size()));
      }
    }
    EXPECT_EQ(result, arrived.results.end());
  }

  for (int home = 0; home < c.ranks; ++home) {
    const auto index = static_cast<size_t>(home);
    Integers back;
    for (const Integers& part : results[index]) back.insert(back.end(), part.begin(), part.end());
    const Slice& own = shared.tokens[index];
    const Integers part = shared.share(home, slots);
    const Integers rows = result_rows(windows, leaving[index], own.elements(), part);
    ASSERT_EQ(rows.size(), back.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto round = static_cast<int64_t>(i) / own.elements();
      EXPECT_EQ(back[static_cast<size_t>(rows[i])], round * c.length + part[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, BucketRoutesTest, ::testing::ValuesIn(cases()), [](const auto& c) {
  std::string name = fmt::format("{}_on_{}", c.param.name, c.param.ranks);
  std::replace_if(
      name.begin(), name.end(), [](char letter) { return !std::isalnum(letter); }, '_');
  return name;
});

TEST(SlotWindowsTest, CapacitiesAreReached) {
  // 4 ranks with 4 chunks of 4 slots each; the chunks beside the boundaries are held twice.
  AttentionPattern pattern;
  pattern.rounds = 2;
  pattern.chunk_length = 4;
  const SlotWindows windows(pattern, 64, 1, 4);
  EXPECT_EQ(windows.held(0), 20);
  EXPECT_EQ(windows.held(1), 24);
  EXPECT_EQ(windows.most_tokens_held(0), 40);
  EXPECT_EQ(windows.most_tokens_held(1), 48);
  EXPECT_EQ(windows.most_tokens_sent(16), 64);        // 2 rounds, 2 ranks each
  EXPECT_EQ(windows.most_tokens_sent(40), 160 - 32);  // 24 slots of a round are held twice
  EXPECT_EQ(SlotWindows(pattern, 16, 1, 4).most_tokens_held(1), 16) << "no more than there are";
  EXPECT_EQ(SlotWindows(pattern, 64, 16, 8).own(0).size(), 0) << "fewer blocks than ranks";
}

}  // namespace
}  // namespace reformer
