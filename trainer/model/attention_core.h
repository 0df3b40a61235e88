// Attention between projected queries, keys and values, wherever the tokens of a sequence are: all
// here, or spread over ranks.
#pragma once

#include <functional>
#include <memory>

#include "trainer/model/pass.h"

namespace reformer {

/// The sorted order of one hashed layer. Kept from the forward to the backward pass, so that the
/// recomputation attends to the very same chunks. Where sequences are shared, H are the heads and
/// T the slots of this rank, as the core of the layer has it.
struct Slots {
  View order{};         // Int32 [B, H, R, T]; absent unless hashed, and where `slot` is
  View slot{};          // Int32 [B, H, R, T], of every token; only where ranks share the slots
  View bucket_begin{};  // Int32 [B, H, R, N + 2]; absent unless hashed
};

/// What the backward pass needs of a forward pass besides the input stream.
struct AttentionActivations {
  View normed;  // [rows, width]
  View query;   // [rows, H·D]
  View key;     // [rows, H·D]; LOCAL only
  View value;   // [rows, H·D]
  View out;     // [rows, H·D]: heads before the output projection
  View lse;     // [B, H, T]; undefined where ranks share the heads
};

/// Attention over whole sequences, as an observer is shown it.
struct ObservedAttention {
  int layer = 0;
  TokenLayout layout;                // of whole sequences
  int64_t first_head = 0;            // the first of these heads among those of the layer
  int64_t heads = 1;                 // H, here
  AttentionActivations activations;  // projected ones
  Slots slots;
};

/// Shown the attention of each layer of a forward pass, while it is there: of all heads at once,
/// or, where ranks share the heads, piece by piece of those of this rank. Where the tokens of a
/// head are on several ranks (kLocal, or slots shared out), it is not called.
using AttentionObserver = std::function<void(const ObservedAttention& observed)>;

/// Of the projected activations; see AttentionBackwardArgs.
struct AttentionGradients {
  View dout;
  View dquery;
  View dkey;  // LOCAL only
  View dvalue;
};

/// One layer of one pass. `pass` must outlive it. What it fetches from other ranks in `attend`
/// stays in the arena for `backward`. Collective where the sequences are shared.
class AttentionCore {
 public:
  virtual ~AttentionCore() = default;

  /// Views on the pass's arena; contents undefined.
  virtual Slots allocate_slots() const = 0;

  /// Hashes and sorts the queries into `slots`, then attends as below.
  virtual void sort_and_attend(const AttentionActivations& activations, const Slots& slots) = 0;

  /// Fills activations.out and activations.lse. `slots` as sort_and_attend left them.
  virtual void attend(const AttentionActivations& activations, const Slots& slots) = 0;

  /// From dout to the other gradients. activations and slots as after the forward pass, whether
  /// this object has attended or not.
  virtual void backward(const AttentionActivations& activations, const Slots& slots,
                        const AttentionGradients& gradients) = 0;
};

/// How the ranks of pass.sequence share the attention of a layer; without such ranks, nothing is
/// shared. `observer` may be empty; sort_and_attend calls it.
std::unique_ptr<AttentionCore> make_attention_core(const Pass& pass, int layer,
                                                   AttentionObserver observer = {});

}  // namespace reformer
