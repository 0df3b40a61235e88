// Attention of some heads of a layer over sequences that are here as a whole.
#pragma once

#include "trainer/model/attention_core.h"
#include "trainer/model/pass.h"

namespace reformer {

class HeadAttention {
 public:
  /// All heads of the layer over the tokens of the pass, which must outlive this.
  HeadAttention(const Pass& pass, int layer);
  /// The same of `heads` alone, over other tokens. `mask` as in Pass, of these tokens.
  HeadAttention(const Pass& pass, int layer, Slice heads, const TokenLayout& layout,
                const View& mask);

  /// Views on the pass's arena; contents undefined. Absent unless hashed.
  Slots allocate_slots() const;

  /// The rotations of these heads on the backend, in block memory; see LshHashArgs. REQUIRES:
  /// hashed.
  View upload_rotations() const;

  /// Buckets of the queries [rows, H·D], Int32 [B, H, R, T]. Any part of a sequence will do.
  /// REQUIRES: hashed.
  void hash(const View& query, const View& rotations, const View& bucket_of) const;

  /// Hashes and sorts the queries into `slots`. Nothing unless hashed.
  void hash_and_sort(const View& query, const Slots& slots) const;

  /// Fills activations.out and activations.lse.
  void attend(const AttentionActivations& activations, const Slots& slots) const;

  /// From dout to the other gradients.
  void backward(const AttentionActivations& activations, const Slots& slots,
                const AttentionGradients& gradients) const;

  /// What an observer is to be shown after `attend`.
  ObservedAttention observed(const AttentionActivations& activations, const Slots& slots) const;

 private:
  const LayerSpec& spec() const { return pass_.spec.layers[static_cast<size_t>(layer_)]; }
  AttentionArgs attention_args(const AttentionActivations& activations, const Slots& slots) const;

  const Pass& pass_;
  int layer_;
  Slice heads_;
  TokenLayout layout_;
  View mask_;
  AttentionPattern pattern_;  // with these heads alone
};

}  // namespace reformer
