#include "kernels/cpu/attention_slots.h"

#include <cmath>

#include "kernels/core/check.h"

namespace reformer::cpu {
namespace {

int32_t narrow(int64_t value) {
  return static_cast<int32_t>(value);  // op_checks keep all slots within int32
}

/// Where each token is in every round, [B, H, T, R].
std::vector<int32_t> slots_of_tokens(ThreadPool& pool, const AttentionArgs& args) {
  const int64_t length = args.layout.length;
  const int64_t rounds = args.pattern.rounds;
  const int64_t heads = args.layout.samples * args.pattern.heads;
  std::vector<int32_t> slots(static_cast<size_t>(heads * length * rounds));
  pool.parallel_for(heads * rounds, [&](int64_t list, int) {
    const int32_t* order = args.order.data<int32_t>() + list * length;
    int32_t* slot_in = slots.data() + list / rounds * length * rounds + list % rounds;
    for (int32_t slot = 0; slot < length; ++slot) slot_in[order[slot] * rounds] = slot;
  });
  return slots;
}

}  // namespace

BucketFinder::BucketFinder(ThreadPool& pool, const int32_t* bucket_begin, int64_t lists,
                           int64_t begins)
    : bucket_begin_(bucket_begin), begins_(begins) {
  const int64_t length = bucket_begin[begins - 1];
  blocks_ = (length + kBlockSlots - 1) / kBlockSlots;
  first_bucket_.resize(static_cast<size_t>(lists * (blocks_ + 1)));
  pool.parallel_for(lists, [&](int64_t list, int) {
    const int32_t* const begin = bucket_begin + list * begins;
    int32_t* const first = first_bucket_.data() + list * (blocks_ + 1);
    int32_t bucket = 0;
    for (int64_t block = 0; block < blocks_; ++block) {
      while (begin[bucket + 1] <= block * kBlockSlots) ++bucket;
      first[block] = bucket;
    }
    first[blocks_] = narrow(begins - 2);
  });
}

SlotRange BucketFinder::bucket_around(int64_t list, int64_t slot) const {
  const int32_t* const begin = bucket_begin_ + list * begins_;
  const int32_t* const first = first_bucket_.data() + list * (blocks_ + 1) + slot / kBlockSlots;
  const int32_t* const next =
      std::upper_bound(begin + first[0] + 1, begin + first[1] + 1, narrow(slot));
  return {next[-1], next[0]};
}

SlotProblem::SlotProblem(ThreadPool& pool, const AttentionArgs& args)
    : pattern(args.pattern),
      ring(args.pattern, args.layout.length),
      own{0, args.layout.length},
      samples(args.layout.samples),
      sample_rows(args.layout.length),
      first_sample(args.layout.first_sample),
      first_head(args.first_head),
      dropout(args.dropout),
      query(args.query),
      key(args.key.defined() ? args.key : args.query),
      value(args.value),
      listed(own),
      mask(args.mask.data<uint8_t>()) {
  if (!is_hashed(pattern.kind)) return;
  row = args.order.data<int32_t>();
  if (sees_own_bucket_only(pattern)) {
    buckets = BucketFinder(pool, args.bucket_begin.data<int32_t>(), lists() * pattern.rounds,
                           args.bucket_begin.shape()[3]);
  }
  if (corrects_duplicates(pattern)) {
    slots_of_tokens_ = slots_of_tokens(pool, args);
    slot_in = slots_of_tokens_.data();
  }
}

SlotProblem::SlotProblem(ThreadPool& pool, const AttentionPartArgs& args)
    : pattern(args.pattern),
      ring(args.pattern, args.length),
      own(args.own),
      sample_rows(args.query.shape()[0]),
      first_sample(args.sample),
      first_head(args.first_head),
      dropout(args.dropout),
      query(args.query),
      key(args.key.defined() ? args.key : args.query),
      value(args.value),
      row(args.row.data<int32_t>()),
      listed(slots_around(args.pattern, ring, args.own)),
      beyond_ends(true),
      position(args.position.data<int32_t>()),
      slot_in(args.slot_in.data<int32_t>()) {
  if (sees_own_bucket_only(pattern)) {
    buckets = BucketFinder(pool, args.bucket_begin.data<int32_t>(), lists() * pattern.rounds,
                           args.bucket_begin.shape()[2]);
  }
}

SlotRows carve_slot_rows(Carver& carver, int64_t capacity, const AttentionPattern& pattern) {
  SlotRows rows;
  rows.capacity = padded_width(capacity);
  for (int32_t** array : {&rows.row, &rows.position, &rows.slot, &rows.round, &rows.low, &rows.high,
                          &rows.key_position, &rows.limit, &rows.excluded}) {
    *array = carver.integers(rows.capacity);
  }
  rows.offset = carver.floats(rows.capacity);
  rows.delta = carver.floats(rows.capacity);
  if (corrects_duplicates(pattern)) {
    for (int32_t** array : {&rows.slot_in, &rows.low_in, &rows.high_in}) {
      *array = carver.integers(pattern.rounds * rows.capacity);
    }
  }
  return rows;
}

SegmentSlots::SegmentSlots(const SlotProblem& problem, const Segment& segment)
    : problem_(problem),
      segment_(segment),
      own_{segment.round * problem.ring.length() + segment.begin,
           segment.round * problem.ring.length() + segment.end},
      round0_(segment.list * problem.pattern.rounds) {}

void SegmentSlots::load(Side side, SlotRange slots, SlotRows& rows) const {
  const AttentionPattern& pattern = problem_.pattern;
  SlotRange bucket;
  for (int64_t slot = slots.begin; slot < slots.end; ++slot) {
    if (sees_own_bucket_only(pattern) && !bucket.contains(slot)) bucket = bucket_around(slot);
    load_row(side, slot, bucket, rows, slot - slots.begin);
  }
  for (int64_t at = slots.size(); at % kTileLanes != 0; ++at) {
    rows.row[at] = rows.position[at] = rows.slot[at] = rows.round[at] = 0;
    rows.low[at] = rows.high[at] = 0;
    rows.key_position[at] = kMaskedKey;
    rows.limit[at] = rows.excluded[at] = kExcludeNone;
    rows.offset[at] = rows.delta[at] = 0;
    if (!corrects_duplicates(pattern)) continue;
    for (int64_t round = 0; round < pattern.rounds; ++round) {
      const int64_t in_round = round * rows.capacity + at;
      rows.slot_in[in_round] = rows.low_in[in_round] = rows.high_in[in_round] = 0;
    }
  }
}

SlotRange SegmentSlots::bucket_around(int64_t slot) const {
  const SlotRing& ring = problem_.ring;
  const int64_t base = ring.unrolled_round(slot) * ring.length();
  const int64_t round = ring.wrap(slot) / ring.length();
  const SlotRange bucket = problem_.buckets.bucket_around(round0_ + round, slot - base);
  return {base + bucket.begin, base + bucket.end};
}

int64_t SegmentSlots::row_of(int64_t slot) const {
  if (!problem_.beyond_ends) {
    const int64_t wrapped = problem_.ring.wrap(slot);
    return problem_.row == nullptr ? wrapped
                                   : problem_.row[round0_ * problem_.ring.length() + wrapped];
  }
  const int64_t in_round = slot - segment_.round * problem_.ring.length();
  return problem_
      .row[(round0_ + segment_.round) * problem_.listed.size() + in_round - problem_.listed.begin];
}

void SegmentSlots::load_row(Side side, int64_t slot, SlotRange bucket, SlotRows& rows,
                            int64_t at) const {
  const AttentionPattern& pattern = problem_.pattern;
  const SlotRing& ring = problem_.ring;
  const int64_t row = row_of(slot);
  CHECK(0 <= row && row < problem_.sample_rows);
  int32_t position = problem_.position == nullptr ? narrow(row) : problem_.position[row];
  bool masked = position < 0;
  if (masked) position = ~position;
  if (problem_.mask != nullptr) {
    const int64_t sample = segment_.list / pattern.heads;
    masked = problem_.mask[sample * problem_.sample_rows + row] == 0;
  }
  SlotRange reach;
  if (!masked) {
    reach = side == Side::kQuery ? keys_seen_from(pattern, ring, slot, bucket)
                                 : queries_seeing(pattern, ring, slot, bucket);
  }
  rows.row[at] = narrow(row);
  rows.position[at] = position;
  rows.slot[at] = narrow(slot);
  rows.round[at] = narrow(ring.wrap(slot) / ring.length());
  rows.low[at] = narrow(reach.begin);
  rows.high[at] = narrow(reach.end);
  rows.key_position[at] = masked ? kMaskedKey : position;
  rows.limit[at] = pattern.causal ? position : kNoLimit;
  rows.excluded[at] = has_shared_query_key(pattern.kind) ? position : kExcludeNone;
  if (corrects_duplicates(pattern)) load_duplicates(side, rows, at);
}

void SegmentSlots::load_duplicates(Side side, SlotRows& rows, int64_t at) const {
  const AttentionPattern& pattern = problem_.pattern;
  const int32_t* slot_in =
      problem_.slot_in + (segment_.list * problem_.sample_rows + rows.row[at]) * pattern.rounds;
  for (int64_t round = 0; round < pattern.rounds; ++round) {
    const int64_t base = round * problem_.ring.length();
    const int64_t in_round = round * rows.capacity + at;
    rows.slot_in[in_round] = narrow(base + slot_in[round]);
    if (side == Side::kKey) continue;
    SlotRange bucket;
    if (sees_own_bucket_only(pattern)) {
      bucket = problem_.buckets.bucket_around(round0_ + round, slot_in[round]);
    }
    const SlotRange seen = keys_seen_from(pattern, problem_.ring, base + slot_in[round],
                                          {base + bucket.begin, base + bucket.end});
    rows.low_in[in_round] = narrow(seen.begin);
    rows.high_in[in_round] = narrow(seen.end);
  }
}

TokenRows SegmentSlots::tokens(const View& activation, const SlotRows& rows, int64_t first,
                               int64_t count) const {
  TokenRows tokens = head_rows(activation, problem_.pattern, problem_.sample_rows, segment_.list);
  tokens.rows = rows.row + first;
  tokens.count = count;
  return tokens;
}

TilePairs SegmentSlots::pairs() const {
  const Dropout& dropout = problem_.dropout;
  const int64_t heads = problem_.pattern.heads;
  TilePairs pairs;
  if (corrects_duplicates(problem_.pattern)) {
    pairs.duplicates = {.rounds = problem_.pattern.rounds,
                        .ring_size = narrow(problem_.ring.size()),
                        .other_rounds = !sees_own_bucket_only(problem_.pattern)};
  }
  pairs.dropout = {.enabled = dropout.enabled(),
                   .key = dropout.key,
                   .threshold = dropout.threshold(),
                   .scale = dropout.scale(),
                   .sample = static_cast<uint32_t>(problem_.first_sample + segment_.list / heads),
                   .head = static_cast<uint32_t>(problem_.first_head + segment_.list % heads)};
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
