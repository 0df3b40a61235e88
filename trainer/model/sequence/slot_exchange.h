// LSH attention that ranks share by slots, and by heads as well where pass.sequence has more than
// one rank in `heads`.
#pragma once

#include <optional>
#include <vector>

#include "trainer/model/attention_core.h"
#include "trainer/model/sequence/bucket_attention.h"
#include "trainer/model/sequence/head_transposition.h"

namespace reformer {

/// The ranks of pass.sequence->heads first swap tokens for heads, so that each has all their tokens
/// for its own heads; the slots of those are shared among pass.sequence->buckets
/// (bucket_attention.h). Slots are those of the own heads, of all these tokens.
class SlotExchange final : public AttentionCore {
 public:
  /// REQUIRES: a hashed layer.
  SlotExchange(const Pass& pass, int layer);

  Slots allocate_slots() const override;
  void sort_and_attend(const AttentionActivations& activations, const Slots& slots) override;
  void attend(const AttentionActivations& activations, const Slots& slots) override;
  void backward(const AttentionActivations& activations, const Slots& slots,
                const AttentionGradients& gradients) override;

 private:
  /// The same tensor twice: the tokens of this rank with all heads, [rows, H · D], and here.
  struct Swapped {
    View own;
    View here;
  };

  const SequenceGroup& sequence() const { return *pass_.sequence; }
  const AttentionPattern& pattern() const {
    return pass_.spec.layers[static_cast<size_t>(layer_)].attention;
  }
  bool shares_heads() const { return sequence().heads.size() > 1; }
  Slice heads_here() const { return sequence().heads.own_share(pattern().heads); }
  BucketShare share(std::vector<Slice> pieces, const View& mask) const;

  void swap_tokens_for_heads(const AttentionActivations& activations);
  void attend_here(const AttentionActivations& activations, const Slots& slots);
  void swap_in(const std::vector<Swapped>& tensors) const;
  void swap_out(const std::vector<Swapped>& tensors) const;
  View piece_of(const View& here, int64_t sample, int piece) const;
  View allocate_here() const;

  const Pass& pass_;
  int layer_;
  std::optional<HeadTransposition> transposition_;
  std::optional<BucketAttention> attention_;
  AttentionActivations here_;  // query, value, out and lse, as bucket_attention.h has them
};

}  // namespace reformer
