#include "trainer/model/attention_core.h"

#include <utility>

#include "trainer/model/head_attention.h"
#include "trainer/model/sequence/halo_exchange.h"
#include "trainer/model/sequence/head_exchange.h"
#include "trainer/model/sequence/slot_exchange.h"

namespace reformer {
namespace {

/// Everything is here.
class WholeSequences final : public AttentionCore {
 public:
  WholeSequences(const Pass& pass, int layer, AttentionObserver observer)
      : heads_(pass, layer), observer_(std::move(observer)) {}

  Slots allocate_slots() const override { return heads_.allocate_slots(); }

  void sort_and_attend(const AttentionActivations& activations, const Slots& slots) override {
    heads_.hash_and_sort(activations.query, slots);
    attend(activations, slots);
    if (observer_) observer_(heads_.observed(activations, slots));
  }

  void attend(const AttentionActivations& activations, const Slots& slots) override {
    heads_.attend(activations, slots);
  }

  void backward(const AttentionActivations& activations, const Slots& slots,
                const AttentionGradients& gradients) override {
    heads_.backward(activations, slots, gradients);
  }

 private:
  HeadAttention heads_;
  AttentionObserver observer_;
};

}  // namespace

std::unique_ptr<AttentionCore> make_attention_core(const Pass& pass, int layer,
                                                   AttentionObserver observer) {
  const SequenceGroup* const sequence = pass.sequence;
  if (sequence == nullptr) {
    return std::make_unique<WholeSequences>(pass, layer, std::move(observer));
  }
  const AttentionKind kind = pass.spec.layers[static_cast<size_t>(layer)].attention.kind;
  if (kind == AttentionKind::kLocal) return std::make_unique<HaloExchange>(pass, layer);
  if (is_hashed(kind) && sequence->buckets.size() > 1) {
    return std::make_unique<SlotExchange>(pass, layer);
  }
  // Where the slots of hashed layers are shared, the heads of the others still are.
  return std::make_unique<HeadExchange>(pass, layer, sequence->ranks, std::move(observer));
}

}  // namespace reformer
