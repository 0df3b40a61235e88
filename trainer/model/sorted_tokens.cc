#include "trainer/model/sorted_tokens.h"

#include <algorithm>

namespace reformer {
namespace {

/// Walks slots of one round upwards from any slot.
class SlotCursor {
 public:
  SlotCursor(std::span<const std::vector<int32_t>> buckets, int64_t slot) : buckets_(buckets) {
    while (slot >= size()) {
      slot -= size();
      ++bucket_;
    }
    index_ = static_cast<size_t>(slot);
  }

  /// The token in this slot; goes on to the next one.
  int32_t next() {
    while (index_ >= buckets_[bucket_].size()) {
      index_ = 0;
      ++bucket_;
    }
    return buckets_[bucket_][index_++];
  }

 private:
  int64_t size() const { return static_cast<int64_t>(buckets_[bucket_].size()); }

  std::span<const std::vector<int32_t>> buckets_;
  size_t bucket_ = 0;
  size_t index_ = 0;
};

}  // namespace

SortedTokens::SortedTokens(const LayerSpec& layer) : pattern_(layer.attention) {
  if (!is_hashed(pattern_.kind)) return;
  num_buckets_ = bucket_count(layer.buckets);
  newest_.resize(static_cast<size_t>(pattern_.heads * pattern_.rounds));
}

size_t SortedTokens::bytes(const LayerSpec& layer, int64_t tokens) {
  if (!is_hashed(layer.attention.kind)) return 0;
  const int64_t lists = layer.attention.heads * layer.attention.rounds;
  // A vector that grows has up to twice the room that it needs.
  const size_t of_list = static_cast<size_t>(bucket_count(layer.buckets)) * sizeof(Bucket) +
                         static_cast<size_t>(2 * tokens) * sizeof(int32_t);
  return static_cast<size_t>(lists) * of_list;
}

void SortedTokens::make_buckets() {
  if (buckets_.empty()) buckets_.resize(newest_.size() * static_cast<size_t>(num_buckets_));
}

void SortedTokens::assign(int64_t length, const int32_t* order, const int32_t* bucket_begin) {
  CHECK_EQ(length_, 0);
  length_ = length;
  if (num_buckets_ == 0) return;
  make_buckets();
  for (size_t list = 0; list < newest_.size(); ++list) {
    const int32_t* const tokens = order + static_cast<int64_t>(list) * length;
    const int32_t* const begin = bucket_begin + static_cast<int64_t>(list) * (num_buckets_ + 2);
    for (int64_t b = 0; b < num_buckets_; ++b) {
      Bucket& bucket = buckets_[list * static_cast<size_t>(num_buckets_) + static_cast<size_t>(b)];
      bucket.assign(tokens + begin[b], tokens + begin[b + 1]);
      if (!bucket.empty() && bucket.back() == length - 1) newest_[list] = static_cast<int32_t>(b);
    }
  }
}

void SortedTokens::append(std::span<const int32_t> bucket_of) {
  CHECK_EQ(bucket_of.size(), newest_.size());
  make_buckets();
  for (size_t list = 0; list < newest_.size(); ++list) {
    CHECK(0 <= bucket_of[list] && bucket_of[list] < num_buckets_);
    newest_[list] = bucket_of[list];
    buckets_[list * static_cast<size_t>(num_buckets_) + static_cast<size_t>(bucket_of[list])]
        .push_back(static_cast<int32_t>(length_));
  }
  ++length_;
}

void SortedTokens::list_seen(int64_t head, std::vector<int32_t>& seen) const {
  CHECK_GE(length_, 1);
  seen.clear();
  switch (pattern_.kind) {
    case AttentionKind::kStrict:
      list_strict(head, seen);
      break;
    case AttentionKind::kChunked:
      list_chunked(head, seen);
      break;
    case AttentionKind::kLocal:
    case AttentionKind::kFull:
      list_unhashed(seen);
      return;
  }
  if (!pattern_.correct_duplicates) return;
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
}

std::span<const SortedTokens::Bucket> SortedTokens::buckets_of(int64_t head, int64_t round) const {
  const auto first = static_cast<size_t>((head * pattern_.rounds + round) * num_buckets_);
  return std::span(buckets_).subspan(first, static_cast<size_t>(num_buckets_));
}

void SortedTokens::list_strict(int64_t head, std::vector<int32_t>& seen) const {
  const SlotRing ring(pattern_, length_);
  for (int64_t round = 0; round < pattern_.rounds; ++round) {
    const auto newest =
        static_cast<size_t>(newest_[static_cast<size_t>(head * pattern_.rounds + round)]);
    const Bucket& bucket = buckets_of(head, round)[newest];
    CHECK(!bucket.empty());
    // Only distances between slots of the bucket matter, so they are counted from its first.
    const auto size = static_cast<int64_t>(bucket.size());
    const SlotRange keys = keys_seen_from(pattern_, ring, size - 1, {0, size});
    seen.insert(seen.end(), bucket.begin() + keys.begin, bucket.begin() + keys.end);
  }
}

void SortedTokens::list_chunked(int64_t head, std::vector<int32_t>& seen) const {
  const SlotRing ring(pattern_, length_);
  const auto own = static_cast<int32_t>(length_ - 1);
  for (int64_t round = 0; round < pattern_.rounds; ++round) {
    const auto newest =
        static_cast<size_t>(newest_[static_cast<size_t>(head * pattern_.rounds + round)]);
    const std::span<const Bucket> buckets = buckets_of(head, round);
    int64_t begin = round * length_;
    for (size_t b = 0; b < newest; ++b) begin += static_cast<int64_t>(buckets[b].size());
    const SlotRange bucket{begin, begin + static_cast<int64_t>(buckets[newest].size())};
    const SlotRange keys = keys_seen_from(pattern_, ring, bucket.end - 1, bucket);
    // The keys are a range of the ring of all rounds: one piece for each round that it meets.
    for (int64_t u = keys.begin; u < keys.end;) {
      const int64_t round_end = (ring.unrolled_round(u) + 1) * length_;
      const int64_t slot = ring.wrap(u);
      SlotCursor cursor(buckets_of(head, slot / length_), slot % length_);
      for (const int64_t end = std::min(keys.end, round_end); u < end; ++u) {
        const int32_t position = cursor.next();
        if (position != own) seen.push_back(position);
      }
    }
  }
}

void SortedTokens::list_unhashed(std::vector<int32_t>& seen) const {
  const SlotRing ring(pattern_, length_);
  const SlotRange keys = keys_seen_from(pattern_, ring, length_ - 1, {});
  for (int64_t position = keys.begin; position < keys.end; ++position) {
    seen.push_back(static_cast<int32_t>(position));
  }
}

}  // namespace reformer
