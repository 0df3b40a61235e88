#include "kernels/cpu/attention_slots.h"

#include <cmath>

#include "kernels/core/check.h"
#include "kernels/cpu/rows.h"

namespace reformer::cpu {
namespace {

int32_t narrow(int64_t value) {
  return static_cast<int32_t>(value);  // check_attention keeps all slots within int32
}

/// Slot ranges of all buckets are needed, not only whether a token is masked.
bool needs_buckets(const AttentionPattern& pattern) {
  return sees_own_bucket_only(pattern) || corrects_duplicates(pattern);
}

}  // namespace

SlotRows carve_slot_rows(Carver& carver, int64_t capacity, const AttentionArgs& args) {
  SlotRows rows;
  rows.capacity = padded_width(capacity);
  for (int32_t** array : {&rows.position, &rows.slot, &rows.round, &rows.low, &rows.high,
                          &rows.key_position, &rows.limit, &rows.excluded}) {
    *array = carver.integers(rows.capacity);
  }
  rows.offset = carver.floats(rows.capacity);
  rows.delta = carver.floats(rows.capacity);
  if (corrects_duplicates(args.pattern)) {
    for (int32_t** array : {&rows.slot_in, &rows.low_in, &rows.high_in}) {
      *array = carver.integers(args.pattern.rounds * rows.capacity);
    }
  }
  return rows;
}

TokenSlots::TokenSlots(ThreadPool& pool, const AttentionArgs& args) : length_(args.layout.length) {
  if (!corrects_duplicates(args.pattern)) return;
  const int64_t lists = args.layout.samples * args.pattern.heads * args.pattern.rounds;
  slot_.resize(static_cast<size_t>(lists * length_));
  bucket_.resize(slot_.size());
  const int64_t begins = args.bucket_begin.shape()[3];
  pool.parallel_for(lists, [&](int64_t list, int) {
    const int32_t* order = args.order.data<int32_t>() + list * length_;
    const int32_t* begin = args.bucket_begin.data<int32_t>() + list * begins;
    int32_t bucket = 0;
    for (int32_t slot = 0; slot < length_; ++slot) {
      while (begin[bucket + 1] <= slot) ++bucket;
      slot_[index(list, order[slot])] = slot;
      bucket_[index(list, order[slot])] = bucket;
    }
  });
}

/// Finds the slots of the bucket around each slot, in increasing order of slots.
class HeadSlots::BucketCursor {
 public:
  explicit BucketCursor(const HeadSlots& head) : head_(head) {}

  SlotRange bucket_of(int64_t slot) {
    if (!bucket_.contains(slot)) find(slot);
    return bucket_;
  }

 private:
  void find(int64_t slot) {
    const int64_t base = head_.ring_.unrolled_round(slot) * head_.ring_.length();
    const int64_t round = head_.ring_.wrap(slot) / head_.ring_.length();
    const int64_t begins = head_.args_.bucket_begin.shape()[3];
    const int32_t* begin = head_.args_.bucket_begin.data<int32_t>() + head_.list(round) * begins;
    // The bucket after the last one is often the next; else search.
    const int32_t* next = begin + next_;
    if (next_ + 1 >= begins || slot - base < next[0] || slot - base >= next[1]) {
      next = std::upper_bound(begin, begin + begins, narrow(slot - base)) - 1;
    }
    next_ = next - begin + 1;
    bucket_ = {base + next[0], base + next[1]};
  }

  const HeadSlots& head_;
  SlotRange bucket_;
  int64_t next_ = 0;
};

HeadSlots::HeadSlots(const AttentionArgs& args, const TokenSlots& tokens, int64_t sample,
                     int64_t head)
    : args_(args),
      tokens_(tokens),
      ring_(args.pattern, args.layout.length),
      sample_(sample),
      head_(head),
      list_((sample * args.pattern.heads + head) * args.pattern.rounds) {}

void HeadSlots::load(Side side, int64_t begin, int64_t end, SlotRows& rows) const {
  const bool buckets = needs_buckets(args_.pattern);
  BucketCursor cursor(*this);
  for (int64_t slot = begin; slot < end; ++slot) {
    load_row(side, slot, buckets ? cursor.bucket_of(slot) : SlotRange{}, rows, slot - begin);
  }
  for (int64_t row = end - begin; row % kTileLanes != 0; ++row) {
    rows.position[row] = rows.slot[row] = rows.round[row] = rows.low[row] = rows.high[row] = 0;
    rows.key_position[row] = kMaskedKey;
    rows.limit[row] = rows.excluded[row] = kExcludeNone;
    rows.offset[row] = rows.delta[row] = 0;
    if (corrects_duplicates(args_.pattern)) {
      for (int64_t round = 0; round < args_.pattern.rounds; ++round) {
        const int64_t at = round * rows.capacity + row;
        rows.slot_in[at] = rows.low_in[at] = rows.high_in[at] = 0;
      }
    }
  }
}

void HeadSlots::load_row(Side side, int64_t slot, SlotRange bucket, SlotRows& rows,
                         int64_t row) const {
  const AttentionPattern& pattern = args_.pattern;
  const int64_t wrapped = ring_.wrap(slot);
  const int32_t position = is_hashed(pattern.kind)
                               ? args_.order.data<int32_t>()[list_ * ring_.length() + wrapped]
                               : narrow(wrapped);
  const bool masked =
      args_.mask.defined() && args_.mask.data<uint8_t>()[sample_ * ring_.length() + position] == 0;
  SlotRange reach;
  if (!masked) {
    reach = side == Side::kQuery ? keys_seen_from(pattern, ring_, slot, bucket)
                                 : queries_seeing(pattern, ring_, slot, bucket);
  }
  rows.position[row] = position;
  rows.slot[row] = narrow(slot);
  rows.round[row] = narrow(wrapped / ring_.length());
  rows.low[row] = narrow(reach.begin);
  rows.high[row] = narrow(reach.end);
  rows.key_position[row] = masked ? kMaskedKey : position;
  rows.limit[row] = pattern.causal ? position : kNoLimit;
  rows.excluded[row] = has_shared_query_key(pattern.kind) ? position : kExcludeNone;
  if (corrects_duplicates(pattern)) load_duplicates(side, rows, row);
}

void HeadSlots::load_duplicates(Side side, SlotRows& rows, int64_t row) const {
  const int64_t begins = args_.bucket_begin.shape()[3];
  const int32_t position = rows.position[row];
  for (int64_t round = 0; round < args_.pattern.rounds; ++round) {
    const int64_t base = round * ring_.length();
    const int64_t slot = base + tokens_.slot(list(round), position);
    const int64_t at = round * rows.capacity + row;
    rows.slot_in[at] = narrow(slot);
    if (side == Side::kKey) continue;
    const int32_t* begin = args_.bucket_begin.data<int32_t>() + list(round) * begins +
                           tokens_.bucket(list(round), position);
    const SlotRange seen =
        keys_seen_from(args_.pattern, ring_, slot, {base + begin[0], base + begin[1]});
    rows.low_in[at] = narrow(seen.begin);
    rows.high_in[at] = narrow(seen.end);
  }
}

TokenRows HeadSlots::tokens(const View& activation, const SlotRows& rows, int64_t first,
                            int64_t count) const {
  const int64_t width = args_.pattern.head_dim;
  const int64_t stride = args_.pattern.heads * width;
  return {.base = activation.data<float>() + sample_ * ring_.length() * stride + head_ * width,
          .stride = stride,
          .positions = rows.position + first,
          .count = count,
          .width = width};
}

TilePairs HeadSlots::pairs() const {
  TilePairs pairs;
  if (corrects_duplicates(args_.pattern)) {
    pairs.duplicates = {.rounds = args_.pattern.rounds,
                        .ring_size = narrow(ring_.size()),
                        .other_rounds = !sees_own_bucket_only(args_.pattern)};
  }
  pairs.dropout = {.enabled = args_.dropout.enabled(),
                   .key = args_.dropout.key,
                   .threshold = args_.dropout.threshold(),
                   .scale = args_.dropout.scale(),
                   .sample = static_cast<uint32_t>(args_.layout.first_sample + sample_),
                   .head = static_cast<uint32_t>(head_)};
  return pairs;
}

float query_scale(const AttentionPattern& pattern) {
  if (has_shared_query_key(pattern.kind)) return 1.0f;
  return 1.0f / std::sqrt(static_cast<float>(pattern.head_dim));
}

void gather_keys(const AttentionPattern& pattern, const TokenRows& from, float* tile,
                 float* inverse_norms) {
  gather_rows(from, tile);
  if (!has_shared_query_key(pattern.kind)) return;
  const int64_t width = padded_width(from.width);
  dot_rows(tile, tile, from.count, width, inverse_norms);
  for (int64_t i = 0; i < from.count; ++i) {
    const float norm = std::sqrt(inverse_norms[i]);
    inverse_norms[i] = norm < kShortestKey ? 0.0f : 1.0f / norm;
  }
  scale_rows(inverse_norms, from.count, width, tile);
}

SegmentReach::SegmentReach(const SlotRows& lanes, int64_t count) {
  for (int64_t row = 0; row < count; ++row) {
    SlotRange& reach = tile[row / kTileLanes];
    reach = hull(reach, {lanes.low[row], lanes.high[row]});
  }
  for (const SlotRange& reach : tile) all = hull(all, reach);
}

}  // namespace reformer::cpu
