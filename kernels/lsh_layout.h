// Index arithmetic of LSH and local attention, shared by all backends: how argmaxes make a bucket,
// how slots form chunks, and which slots can see each other. No memory, no state.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/attention_pattern.h"
#include "kernels/core/check.h"

namespace reformer {

// ---- buckets: b = a_1 + n_1·(a_2 + n_2·…), 0 <= a_f < n_f -----------------------------------

/// N = Π n_f. Masked tokens go to one more bucket, number N.
constexpr int64_t bucket_count(std::span<const int64_t> factors) {
  int64_t count = 1;
  for (const int64_t factor : factors) count *= factor;
  return count;
}

/// Columns of the rotation of one head and round: Σ n_f / 2, since each stands for itself and its
/// negative.
constexpr int64_t rotation_columns(std::span<const int64_t> factors) {
  int64_t columns = 0;
  for (const int64_t factor : factors) columns += factor / 2;
  return columns;
}

// ---- slots ----------------------------------------------------------------------------------

/// Slots [begin, end).
struct SlotRange {
  int64_t begin = 0;
  int64_t end = 0;

  constexpr bool empty() const { return begin >= end; }
  constexpr int64_t size() const { return empty() ? 0 : end - begin; }
  constexpr bool contains(int64_t slot) const { return begin <= slot && slot < end; }
  friend constexpr bool operator==(const SlotRange&, const SlotRange&) = default;
};

constexpr SlotRange intersection(SlotRange a, SlotRange b) {
  return {std::max(a.begin, b.begin), std::min(a.end, b.end)};
}

/// The smallest range that holds both.
constexpr SlotRange hull(SlotRange a, SlotRange b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  return {std::min(a.begin, b.begin), std::max(a.end, b.end)};
}

/// The slots of one sample and head, all rounds in one list: slot s of round r is r·T + s. Kinds
/// that do not hash have one round, and slot = position.
///
/// kChunked looks around the ends of that list, so the list is a ring, and slots are *unrolled*:
/// any integer u, negative ones too, is slot wrap(u). A query and the keys around it then have
/// adjacent numbers. Chunks are numbered the same way: chunk c of round r is r·ceil(T/C) + c, holds
/// C slots, and fewer if it is the last of its round.
class SlotRing {
 public:
  /// REQUIRES: length >= 1, chunk_length >= 1, rounds >= 1.
  constexpr SlotRing(const AttentionPattern& pattern, int64_t length)
      : length_(length),
        rounds_(pattern.rounds),
        chunk_length_(pattern.chunk_length),
        chunks_per_round_((length + pattern.chunk_length - 1) / pattern.chunk_length) {
    CHECK(length >= 1 && rounds_ >= 1 && chunk_length_ >= 1);
  }

  constexpr int64_t length() const { return length_; }
  constexpr int64_t size() const { return rounds_ * length_; }
  constexpr int64_t chunks() const { return rounds_ * chunks_per_round_; }

  /// Unrolled round of an unrolled slot; the round is wrap(slot) / length().
  constexpr int64_t unrolled_round(int64_t slot) const { return floor_divide(slot, length_); }

  /// REQUIRES: −size() <= slot < 2·size(), which all neighbours of a slot fulfil.
  constexpr int64_t wrap(int64_t slot) const {
    if (slot < 0) return slot + size();
    return slot >= size() ? slot - size() : slot;
  }

  constexpr int64_t chunk_of(int64_t slot) const {
    const int64_t round = unrolled_round(slot);
    return round * chunks_per_round_ + (slot - round * length_) / chunk_length_;
  }

  /// Slots of chunks [first, last].
  constexpr SlotRange chunk_slots(int64_t first, int64_t last) const {
    return {chunk_begin(first), chunk_begin(last + 1)};
  }

 private:
  static constexpr int64_t floor_divide(int64_t a, int64_t b) {
    return a >= 0 ? a / b : -((b - 1 - a) / b);
  }

  constexpr int64_t chunk_begin(int64_t chunk) const {
    const int64_t round = floor_divide(chunk, chunks_per_round_);
    return round * length_ + (chunk - round * chunks_per_round_) * chunk_length_;
  }

  int64_t length_;
  int64_t rounds_;
  int64_t chunk_length_;
  int64_t chunks_per_round_;
};

/// How many chunks before and after its own a query sees. In a ring of one or two chunks the one
/// before, or the one after, is a chunk that is seen already; no slot is ever seen twice from one
/// slot.
struct ChunkReach {
  int64_t back = 0;
  int64_t ahead = 0;
};

/// REQUIRES: kind is kChunked or kLocal.
constexpr ChunkReach chunk_reach(const AttentionPattern& pattern, const SlotRing& ring) {
  const bool cyclic = pattern.kind == AttentionKind::kChunked;
  return {.back = !cyclic || ring.chunks() >= 2 ? 1 : 0,
          .ahead = !pattern.causal && (!cyclic || ring.chunks() >= 3) ? 1 : 0};
}

/// True where only keys of the query's own bucket are visible. A bucket belongs to its round: the
/// bucket of equal number in another round is another bucket.
constexpr bool sees_own_bucket_only(const AttentionPattern& pattern) {
  return pattern.kind == AttentionKind::kStrict ||
         (pattern.kind == AttentionKind::kChunked && pattern.same_bucket_only);
}

/// True where it has to be counted how often a pair is seen over all rounds.
constexpr bool corrects_duplicates(const AttentionPattern& pattern) {
  return is_hashed(pattern.kind) && pattern.correct_duplicates && pattern.rounds > 1;
}

/// The keys that the query in `slot` sees: those of this (unrolled) range that are not masked,
/// whose position is not after the query's if causal, and, unless kLocal, is not the query's own.
/// `bucket` are the slots of the query's bucket; unused unless sees_own_bucket_only.
constexpr SlotRange keys_seen_from(const AttentionPattern& pattern, const SlotRing& ring,
                                   int64_t slot, SlotRange bucket) {
  switch (pattern.kind) {
    case AttentionKind::kStrict:
      return {std::max(slot - pattern.chunk_length, bucket.begin), slot};
    case AttentionKind::kChunked: {
      const ChunkReach reach = chunk_reach(pattern, ring);
      const int64_t chunk = ring.chunk_of(slot);
      const SlotRange near = ring.chunk_slots(chunk - reach.back, chunk + reach.ahead);
      return pattern.same_bucket_only ? intersection(near, bucket) : near;
    }
    case AttentionKind::kLocal: {
      const ChunkReach reach = chunk_reach(pattern, ring);
      const int64_t chunk = slot / pattern.chunk_length;
      const int64_t ahead_end = (chunk + reach.ahead + 1) * pattern.chunk_length;
      return {std::max<int64_t>(0, (chunk - reach.back) * pattern.chunk_length),
              std::min(ring.length(), pattern.causal ? slot + 1 : ahead_end)};
    }
    case AttentionKind::kFull:
      return {0, pattern.causal ? slot : ring.length()};
  }
  return {};
}

/// The inverse: the queries that see the key in `slot` are those of this (unrolled) range for which
/// the other conditions hold.
constexpr SlotRange queries_seeing(const AttentionPattern& pattern, const SlotRing& ring,
                                   int64_t slot, SlotRange bucket) {
  switch (pattern.kind) {
    case AttentionKind::kStrict:
      return {slot + 1, std::min(slot + pattern.chunk_length + 1, bucket.end)};
    case AttentionKind::kChunked: {
      const ChunkReach reach = chunk_reach(pattern, ring);
      const int64_t chunk = ring.chunk_of(slot);
      const SlotRange near = ring.chunk_slots(chunk - reach.ahead, chunk + reach.back);
      return pattern.same_bucket_only ? intersection(near, bucket) : near;
    }
    case AttentionKind::kLocal: {
      const ChunkReach reach = chunk_reach(pattern, ring);
      const int64_t chunk = slot / pattern.chunk_length;
      const int64_t ahead_begin = (chunk - reach.ahead) * pattern.chunk_length;
      return {pattern.causal ? slot : std::max<int64_t>(0, ahead_begin),
              std::min(ring.length(), (chunk + reach.back + 1) * pattern.chunk_length)};
    }
    case AttentionKind::kFull:
      return {pattern.causal ? slot + 1 : 0, ring.length()};
  }
  return {};
}

/// The slots that have to be at hand for the slots `own` of a round, as queries and as keys: `own`
/// itself, all that they see and all that see them. Counted from the start of the round, and
/// unrolled, hence the same for every round. Empty if `own` is. REQUIRES: own within [0, T).
constexpr SlotRange slots_around(const AttentionPattern& pattern, const SlotRing& ring,
                                 SlotRange own) {
  if (own.empty()) return own;
  CHECK(0 <= own.begin && own.end <= ring.length());
  switch (pattern.kind) {
    case AttentionKind::kStrict:
      return {std::max<int64_t>(0, own.begin - pattern.chunk_length),
              std::min(ring.length(), own.end + pattern.chunk_length)};
    case AttentionKind::kChunked:
    case AttentionKind::kLocal: {
      const ChunkReach reach = chunk_reach(pattern, ring);
      const int64_t chunks = std::max(reach.back, reach.ahead);
      const SlotRange near =
          ring.chunk_slots(ring.chunk_of(own.begin) - chunks, ring.chunk_of(own.end - 1) + chunks);
      return pattern.kind == AttentionKind::kLocal ? intersection(near, {0, ring.length()}) : near;
    }
    case AttentionKind::kFull:
      return {0, ring.length()};
  }
  return {};
}

}  // namespace reformer
