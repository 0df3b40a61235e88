// Attention that ranks share by heads: each works on whole sequences for some of them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "trainer/model/attention_core.h"
#include "trainer/model/head_attention.h"
#include "trainer/model/sequence/head_transposition.h"

namespace reformer {

/// Shared query-key only. Slots are those of the rank's own heads over whole sequences, which come
/// and go one by one. A rank sends about 3U bytes in each of forward pass, recomputation and
/// gradient, U = (P − 1)/P of one projected activation. All but the first piece of the heads
/// arrives, and all but the last one leaves, while another is attended to.
class HeadExchange final : public AttentionCore {
 public:
  /// Between the ranks of `group`, which hold pass.sequence's tokens, all of them: its `ranks`, or
  /// its `heads` where these are as many. `observer` may be empty.
  HeadExchange(const Pass& pass, int layer, Communicator& group, AttentionObserver observer);

  Slots allocate_slots() const override;
  void sort_and_attend(const AttentionActivations& activations, const Slots& slots) override;
  void attend(const AttentionActivations& activations, const Slots& slots) override;
  void backward(const AttentionActivations& activations, const Slots& slots,
                const AttentionGradients& gradients) override;

 private:
  /// What several samples share.
  struct Exchange {
    HeadTransposition heads;
    View mask;  // [B, T]; or absent
  };
  /// One sequence: what is here of it with all heads, and what of the own heads as a whole.
  struct Sample {
    int64_t index = 0;
    AttentionActivations own;
    AttentionActivations whole;  // [T·own heads, D], lse [own heads, T]: piece after piece
    Slots slots;                 // [own heads, R, T], [own heads, R, N + 2]
  };
  struct Steps {
    bool sort = false;
    bool send_back = true;
  };

  Exchange make_exchange() const;
  Sample make_sample(int64_t index, const AttentionActivations& activations,
                     const Slots& slots) const;
  void attend(const Exchange& exchange, const Sample& sample, Steps steps) const;
  void fetch(const AttentionActivations& activations, const Slots& slots, Steps steps);
  void backward(const Exchange& exchange, const Sample& sample,
                const AttentionGradients& gradients) const;

  const AttentionPattern& pattern() const {
    return pass_.spec.layers[static_cast<size_t>(layer_)].attention;
  }
  HeadAttention attention_of(const Exchange& exchange, const Sample& sample, int piece) const;
  int64_t length() const { return pass_.sequence->length; }

  const Pass& pass_;
  int layer_;
  Communicator& group_;
  AttentionObserver observer_;
  // From attend() to backward():
  std::optional<Exchange> exchange_;
  std::vector<Sample> samples_;
};

}  // namespace reformer
