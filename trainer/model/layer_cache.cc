#include "trainer/model/layer_cache.h"

#include <algorithm>

#include "trainer/model/head_attention.h"

namespace reformer {
namespace {

/// Most keys that one token sees in one head.
int64_t most_seen(const AttentionPattern& pattern, int64_t capacity) {
  switch (pattern.kind) {
    case AttentionKind::kStrict:
      return pattern.rounds * std::min(pattern.chunk_length, capacity);
    case AttentionKind::kChunked:
      return pattern.rounds * std::min(2 * pattern.chunk_length, pattern.rounds * capacity);
    case AttentionKind::kLocal:
      return std::min(2 * pattern.chunk_length, capacity);
    case AttentionKind::kFull:
      return capacity;
  }
  return 0;
}

}  // namespace

LayerCache::LayerCache(const Pass& pass, int layer, int64_t sequences, int64_t capacity)
    : backend_(pass.backend),
      arena_(pass.arena),
      spec_(pass.spec),
      layer_(layer),
      // LOCAL looks back to the start of the chunk before, no further.
      rows_(pattern().kind == AttentionKind::kLocal ? std::min(capacity, 2 * pattern().chunk_length)
                                                    : capacity),
      most_seen_(most_seen(pattern(), capacity)),
      sorted_(static_cast<size_t>(sequences),
              SortedTokens(spec_.layers[static_cast<size_t>(layer)])) {
  CHECK(pattern().causal);
  const Shape shape{sequences * rows_, pattern().heads * pattern().head_dim};
  keys_ = arena_.allocate(spec_.compute_dtype, shape, MemoryUse::kCache);
  values_ = arena_.allocate(spec_.compute_dtype, shape, MemoryUse::kCache);
  if (!is_hashed(pattern().kind)) return;
  const View host = pass.rotations[static_cast<size_t>(layer)].view();
  rotations_ = arena_.allocate(DType::kFloat32, host.shape(), MemoryUse::kCache);
  backend_.upload(host.raw(), rotations_);
}

void LayerCache::fill(int64_t sequence, const AttentionActivations& activations,
                      const Slots& slots) {
  const int64_t length = activations.value.shape()[0];
  // Runs of rows that do not wrap around the end of the cache.
  for (int64_t position = std::max<int64_t>(0, length - rows_); position < length;) {
    const int64_t run = std::min(rows_ - position % rows_, length - position);
    copy_rows(activations, position, run, sequence, position);
    position += run;
  }
  std::vector<int32_t> order(static_cast<size_t>(slots.order.elements()));
  std::vector<int32_t> bucket_begin(static_cast<size_t>(slots.bucket_begin.elements()));
  if (rotations_.defined()) {
    backend_.download(slots.order, order.data());
    backend_.download(slots.bucket_begin, bucket_begin.data());
  }
  sorted_[static_cast<size_t>(sequence)].assign(length, order.data(), bucket_begin.data());
}

void LayerCache::append(const Pass& pass, const AttentionActivations& activations,
                        std::span<const int32_t> sequences, const HashHook& hook) {
  const auto tokens = static_cast<int64_t>(sequences.size());
  const std::vector<int32_t> buckets = hash(pass, activations.query);  // [H, R, B]
  std::vector<int32_t> bucket_of(buckets.size() / sequences.size());   // [H, R]
  for (int64_t row = 0; row < tokens; ++row) {
    const int32_t sequence = sequences[static_cast<size_t>(row)];
    copy_rows(activations, row, 1, sequence, sorted(sequence).length());
    for (size_t list = 0; list < bucket_of.size(); ++list) {
      bucket_of[list] = buckets[list * sequences.size() + static_cast<size_t>(row)];
    }
    if (hook && rotations_.defined()) hook(layer_, sequence, bucket_of);
    sorted_[static_cast<size_t>(sequence)].append(bucket_of);
  }
}

void LayerCache::attend(const AttentionActivations& activations,
                        std::span<const int32_t> sequences) const {
  const auto heads = static_cast<size_t>(pattern().heads);
  std::vector<std::vector<int32_t>> lists(sequences.size() * heads);
  size_t longest = 1;
  for (size_t i = 0; i < lists.size(); ++i) {
    sorted(sequences[i / heads]).list_seen(static_cast<int64_t>(i % heads), lists[i]);
    longest = std::max(longest, lists[i].size());
  }
  std::vector<int32_t> seen(lists.size() * longest, 0);  // [B, H, K]
  std::vector<int32_t> seen_count;                       // [B, H]
  for (size_t i = 0; i < lists.size(); ++i) {
    seen_count.push_back(static_cast<int32_t>(lists[i].size()));
    std::transform(lists[i].begin(), lists[i].end(),
                   seen.begin() + static_cast<ptrdiff_t>(i * longest),
                   [this](int32_t position) { return static_cast<int32_t>(position % rows_); });
  }

  Arena::Mark mark(arena_);
  const auto tokens = static_cast<int64_t>(sequences.size());
  // As much as it can ever be, so that memory can be planned.
  const View room =
      arena_.allocate(DType::kInt32, {tokens * pattern().heads * most_seen_}, MemoryUse::kBlock);
  const View seen_view = room.rows(0, static_cast<int64_t>(seen.size()))
                             .reshape({tokens, pattern().heads, static_cast<int64_t>(longest)});
  backend_.upload(seen.data(), seen_view);
  const Shape cache{static_cast<int64_t>(sorted_.size()), rows_, keys_.shape()[1]};
  backend_.attend_cached({.pattern = pattern(),
                          .query = activations.query,
                          .value = activations.value,
                          .keys = keys_.reshape(cache),
                          .values = values_.reshape(cache),
                          .sequence = upload(sequences, {tokens}),
                          .seen = seen_view,
                          .seen_count = upload(seen_count, {tokens, pattern().heads}),
                          .out = activations.out});
}

void LayerCache::copy_rows(const AttentionActivations& activations, int64_t first, int64_t count,
                           int64_t sequence, int64_t position) const {
  const int64_t row = sequence * rows_ + position % rows_;
  const View& keys = activations.key.defined() ? activations.key : activations.query;
  backend_.copy(keys.rows(first, first + count), keys_.rows(row, row + count));
  backend_.copy(activations.value.rows(first, first + count), values_.rows(row, row + count));
}

std::vector<int32_t> LayerCache::hash(const Pass& pass, const View& query) const {
  if (!rotations_.defined()) return {};
  Arena::Mark mark(arena_);
  const View bucket_of = arena_.allocate(
      DType::kInt32, {1, pattern().heads, pattern().rounds, query.shape()[0]}, MemoryUse::kBlock);
  HeadAttention(pass, layer_).hash(query, rotations_, bucket_of);
  std::vector<int32_t> host(static_cast<size_t>(bucket_of.elements()));
  backend_.download(bucket_of, host.data());
  return host;
}

View LayerCache::upload(std::span<const int32_t> values, const Shape& shape) const {
  const View view = arena_.allocate(DType::kInt32, shape, MemoryUse::kBlock);
  backend_.upload(values.data(), view);
  return view;
}

}  // namespace reformer
