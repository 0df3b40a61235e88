// What the newest token sees, against the definitions, for every length of a growing sequence.
#include "trainer/model/sorted_tokens.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "tests/kernels/op_testing.h"
#include "tests/reference/lsh.h"

namespace reformer {
namespace {

using Positions = std::vector<int32_t>;

struct Case {
  std::string name;
  AttentionPattern pattern;
  std::vector<int64_t> buckets;
};

AttentionPattern pattern_of(AttentionKind kind, int64_t rounds, int64_t chunk_length) {
  AttentionPattern pattern;
  pattern.kind = kind;
  pattern.heads = 2;
  pattern.rounds = rounds;
  pattern.chunk_length = chunk_length;
  return pattern;
}

std::vector<Case> cases() {
  AttentionPattern corrected = pattern_of(AttentionKind::kStrict, 3, 4);
  corrected.correct_duplicates = true;
  AttentionPattern own_bucket = pattern_of(AttentionKind::kChunked, 2, 4);
  own_bucket.same_bucket_only = true;
  AttentionPattern chunked_corrected = pattern_of(AttentionKind::kChunked, 3, 4);
  chunked_corrected.correct_duplicates = true;
  return {{"strict", pattern_of(AttentionKind::kStrict, 1, 4), {4}},
          {"strict, rounds", pattern_of(AttentionKind::kStrict, 3, 4), {2, 2}},
          {"strict, corrected", corrected, {4}},
          {"strict, wide window", pattern_of(AttentionKind::kStrict, 2, 1000), {4}},
          {"chunked", pattern_of(AttentionKind::kChunked, 1, 4), {6}},
          {"chunked, rounds", pattern_of(AttentionKind::kChunked, 3, 5), {6}},
          {"chunked, own bucket", own_bucket, {4}},
          {"chunked, corrected", chunked_corrected, {6}},
          {"local", pattern_of(AttentionKind::kLocal, 1, 4), {}},
          {"full", pattern_of(AttentionKind::kFull, 1, 4), {}}};
}

/// Positions seen by the last of `length` tokens in one head; bucket_of [R, length].
Positions seen_by_definition(const AttentionPattern& pattern, const Positions& bucket_of,
                             int64_t length, int64_t num_buckets) {
  Positions seen;
  const int64_t last = length - 1;
  const int64_t chunk = pattern.chunk_length;
  if (!is_hashed(pattern.kind)) {
    for (int64_t j = 0; j <= last; ++j) {
      const bool near = j / chunk == last / chunk || j / chunk == last / chunk - 1;
      const bool visible = pattern.kind == AttentionKind::kLocal ? near : j < last;
      if (visible) seen.push_back(static_cast<int32_t>(j));
    }
    return seen;
  }
  const Positions order = reference::bucket_sort(bucket_of, length, num_buckets).order;
  const int64_t per_round = (length + chunk - 1) / chunk;
  const int64_t chunks = pattern.rounds * per_round;
  const auto bucket = [&](int64_t round, int64_t slot) {
    const int32_t token = order[static_cast<size_t>(round * length + slot)];
    return bucket_of[static_cast<size_t>(round * length + token)];
  };
  for (int64_t round = 0; round < pattern.rounds; ++round) {
    const auto begin = order.begin() + round * length;
    const int64_t own = std::find(begin, begin + length, last) - begin;
    for (int64_t key_round = 0; key_round < pattern.rounds; ++key_round) {
      for (int64_t slot = 0; slot < length; ++slot) {
        const int32_t token = order[static_cast<size_t>(key_round * length + slot)];
        if (token == last) continue;
        const bool same = key_round == round && bucket(round, own) == bucket(key_round, slot);
        bool visible = same && own - slot >= 0 && own - slot <= chunk;
        if (pattern.kind == AttentionKind::kChunked) {
          const int64_t query_chunk = round * per_round + own / chunk;
          const int64_t key_chunk = key_round * per_round + slot / chunk;
          visible =
              (key_chunk == query_chunk || key_chunk == (query_chunk + chunks - 1) % chunks) &&
              (same || !pattern.same_bucket_only);
        }
        if (visible) seen.push_back(token);
      }
    }
  }
  std::sort(seen.begin(), seen.end());
  if (pattern.correct_duplicates) seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  return seen;
}

/// The buckets [H, R, length] of the first tokens of [H, R, T].
Positions first_tokens(const Positions& bucket_of, int64_t total, int64_t length) {
  Positions first;
  for (size_t list = 0; list < bucket_of.size(); list += static_cast<size_t>(total)) {
    const auto begin = bucket_of.begin() + static_cast<ptrdiff_t>(list);
    first.insert(first.end(), begin, begin + length);
  }
  return first;
}

TEST(SortedTokensTest, ListsWhatTheNewestTokenSees) {
  constexpr int64_t kLength = 40;
  constexpr int64_t kPrefix = 13;
  testing::Random random(5);
  for (const Case& c : cases()) {
    const LayerSpec layer{.attention = c.pattern, .buckets = c.buckets};
    const int64_t num_buckets = bucket_count(c.buckets);
    const int64_t lists = is_hashed(c.pattern.kind) ? c.pattern.heads * c.pattern.rounds : 0;
    const Tensor random_buckets = random.integers({std::max<int64_t>(1, lists) * kLength}, 0,
                                                  static_cast<int32_t>(num_buckets - 1));
    const Positions bucket_of(random_buckets.data<int32_t>(),
                              random_buckets.data<int32_t>() + lists * kLength);

    SortedTokens grown(layer);
    SortedTokens continued(layer);
    const Positions prefix = first_tokens(bucket_of, kLength, kPrefix);
    const reference::SortedBuckets sorted = reference::bucket_sort(prefix, kPrefix, num_buckets);
    continued.assign(kPrefix, sorted.order.data(), sorted.bucket_begin.data());

    for (int64_t length = 1; length <= kLength; ++length) {
      Positions newest;
      for (int64_t list = 0; list < lists; ++list) {
        newest.push_back(bucket_of[static_cast<size_t>(list * kLength + length - 1)]);
      }
      grown.append(newest);
      if (length > kPrefix) continued.append(newest);
      const Positions so_far = first_tokens(bucket_of, kLength, length);
      for (int64_t head = 0; head < c.pattern.heads; ++head) {
        const auto begin = so_far.begin() + (lists == 0 ? 0 : head * c.pattern.rounds * length);
        const Positions of_head(begin, begin + (lists == 0 ? 0 : c.pattern.rounds * length));
        const Positions expected = seen_by_definition(c.pattern, of_head, length, num_buckets);
        Positions seen;
        grown.list_seen(head, seen);
        Positions ordered = seen;
        std::sort(ordered.begin(), ordered.end());
        EXPECT_EQ(ordered, expected) << c.name << ", " << length << " tokens, head " << head;
        if (length < kPrefix) continue;
        Positions seen_after_prefix;
        continued.list_seen(head, seen_after_prefix);
        EXPECT_EQ(seen_after_prefix, seen) << c.name << ", " << length << " tokens";
      }
    }
    EXPECT_EQ(grown.length(), kLength);
  }
}

TEST(SortedTokensTest, ListsInSlotOrder) {
  SortedTokens tokens({.attention = pattern_of(AttentionKind::kStrict, 1, 2), .buckets = {2}});
  for (const int32_t bucket : {0, 0, 1, 0, 0}) tokens.append(Positions{bucket, 1 - bucket});
  Positions seen;
  tokens.list_seen(0, seen);
  EXPECT_EQ(seen, (Positions{1, 3}));
  tokens.list_seen(1, seen);
  EXPECT_EQ(seen, (Positions{1, 3}));
}

}  // namespace
}  // namespace reformer
