#include "trainer/model/head_attention.h"

#include "kernels/lsh_layout.h"

namespace reformer {

HeadAttention::HeadAttention(const Pass& pass, int layer)
    : HeadAttention(pass, layer, {0, pass.spec.layers[static_cast<size_t>(layer)].attention.heads},
                    pass.layout, pass.mask) {}

HeadAttention::HeadAttention(const Pass& pass, int layer, Slice heads, const TokenLayout& layout,
                             const View& mask)
    : pass_(pass),
      layer_(layer),
      heads_(heads),
      layout_(layout),
      mask_(mask),
      pattern_(spec().attention) {
  pattern_.heads = heads.elements();
}

Slots HeadAttention::allocate_slots() const {
  if (!is_hashed(pattern_.kind)) return {};
  const auto allocate = [&](int64_t extent) {
    return pass_.arena.allocate(DType::kInt32,
                                {layout_.samples, pattern_.heads, pattern_.rounds, extent},
                                MemoryUse::kSlots);
  };
  Slots slots;
  slots.order = allocate(layout_.length);
  slots.bucket_begin = allocate(bucket_count(spec().buckets) + 2);
  return slots;
}

View HeadAttention::upload_rotations() const {
  const View host =
      pass_.rotations[static_cast<size_t>(layer_)].view().rows(heads_.begin, heads_.end);
  const View rotations = pass_.block_memory(host.shape());
  pass_.backend.upload(host.raw(), rotations);
  return rotations;
}

void HeadAttention::hash(const View& query, const View& rotations, const View& bucket_of) const {
  pass_.backend.lsh_hash({.layout = layout_,
                          .heads = pattern_.heads,
                          .rounds = pattern_.rounds,
                          .buckets = spec().buckets,
                          .query_key = query,
                          .rotations = rotations,
                          .mask = mask_,
                          .bucket_of = bucket_of});
}

void HeadAttention::hash_and_sort(const View& query, const Slots& slots) const {
  if (!is_hashed(pattern_.kind)) return;
  Arena::Mark mark(pass_.arena);
  const View bucket_of =
      pass_.arena.allocate(DType::kInt32, slots.order.shape(), MemoryUse::kBlock);
  hash(query, upload_rotations(), bucket_of);
  pass_.backend.bucket_sort({.num_buckets = bucket_count(spec().buckets),
                             .bucket_of = bucket_of,
                             .order = slots.order,
                             .bucket_begin = slots.bucket_begin});
}

void HeadAttention::attend(const AttentionActivations& activations, const Slots& slots) const {
  pass_.backend.attention(attention_args(activations, slots));
}

void HeadAttention::backward(const AttentionActivations& activations, const Slots& slots,
                             const AttentionGradients& gradients) const {
  pass_.backend.attention_backward({.forward = attention_args(activations, slots),
                                    .dout = gradients.dout,
                                    .dquery = gradients.dquery,
                                    .dkey = gradients.dkey,
                                    .dvalue = gradients.dvalue});
}

ObservedAttention HeadAttention::observed(const AttentionActivations& activations,
                                          const Slots& slots) const {
  return {.layer = layer_,
          .layout = layout_,
          .first_head = heads_.begin,
          .heads = pattern_.heads,
          .activations = activations,
          .slots = slots};
}

AttentionArgs HeadAttention::attention_args(const AttentionActivations& activations,
                                            const Slots& slots) const {
  return {.layout = layout_,
          .pattern = pattern_,
          .first_head = heads_.begin,
          .dropout = pass_.dropout(layer_, DropoutSite::kAttentionWeights),
          .query = activations.query,
          .key = activations.key,
          .value = activations.value,
          .order = slots.order,
          .bucket_begin = slots.bucket_begin,
          .mask = mask_,
          .out = activations.out,
          .lse = activations.lse};
}

}  // namespace reformer
