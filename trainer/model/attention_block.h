// Attention(LayerNorm(x)): the first half of a reversible layer (paper, sections 2 and 3).
#pragma once

#include "trainer/model/parameters.h"
#include "trainer/model/pass.h"

namespace reformer {

/// The sorted order of one hashed layer. Kept from the forward to the backward pass, so that the
/// recomputation attends to the very same chunks.
struct Slots {
  View order;         // Int32 [B, H, R, T]; absent unless hashed
  View bucket_begin;  // Int32 [B, H, R, N + 2]; absent unless hashed
};

/// What the backward pass needs of a forward pass besides the input stream.
struct AttentionActivations {
  View normed;  // [rows, width]
  View query;   // [rows, H·D]
  View key;     // [rows, H·D]; LOCAL only
  View value;   // [rows, H·D]
  View out;     // [rows, H·D]: heads before the output projection
  View lse;     // [B, H, T]
};

class AttentionBlock {
 public:
  AttentionBlock(const Pass& pass, int layer, const AttentionTensors& weights)
      : pass_(pass), layer_(layer), weights_(weights) {}

  /// Views on the pass's arena; contents undefined.
  Slots allocate_slots() const;
  AttentionActivations allocate_activations(MemoryUse use) const;

  /// Normalises and projects the stream x: fills normed, query, key and value.
  void project(const View& x, const AttentionActivations& activations) const;

  /// The layer's rotations on the backend, in block memory; see LshHashArgs. REQUIRES: hashed.
  View upload_rotations() const;

  /// Buckets of the projected queries, Int32 [B, H, R, T]. REQUIRES: hashed.
  void hash(const AttentionActivations& activations, const View& rotations,
            const View& bucket_of) const;

  /// Hashes and sorts the projected queries into `slots`. Nothing unless hashed.
  void hash_and_sort(const AttentionActivations& activations, const Slots& slots) const;

  /// f = heads · W_o, [rows, width], from projected activations and filled slots.
  void attend(const AttentionActivations& activations, const Slots& slots, const View& f) const;

  /// The second half of `attend`, from activations.out.
  void join_heads(const AttentionActivations& activations, const View& f) const;

  /// Given df [rows, width], which is destroyed: adds the gradients of the weights to `gradients`
  /// and that of x to dx. x, activations and slots as after the forward pass.
  void backward(const View& x, const AttentionActivations& activations, const Slots& slots,
                const View& df, const AttentionTensors& gradients, const View& dx) const;

 private:
  const AttentionPattern& pattern() const {
    return pass_.spec.layers[static_cast<size_t>(layer_)].attention;
  }
  int64_t inner() const { return pattern().heads * pattern().head_dim; }
  AttentionArgs attention_args(const AttentionActivations& activations, const Slots& slots) const;
  void project_backward(const View& input, const View& dprojected, const View& weight,
                        const View& dweight, const View& dinput, bool accumulate) const;

  const Pass& pass_;
  int layer_;
  const AttentionTensors& weights_;
};

}  // namespace reformer
