// Normalisation and projections around the attention of a reversible layer (paper, sections 2 and
// 3). What happens between projected queries, keys and values and the heads' outputs is
// attention_core.h.
#pragma once

#include "trainer/model/attention_core.h"
#include "trainer/model/parameters.h"
#include "trainer/model/pass.h"

namespace reformer {

class AttentionBlock {
 public:
  AttentionBlock(const Pass& pass, int layer, const AttentionTensors& weights)
      : pass_(pass), layer_(layer), weights_(weights) {}

  /// Views on the pass's arena; contents undefined.
  AttentionActivations allocate_activations(MemoryUse use) const;
  /// The same in block memory.
  AttentionGradients allocate_gradients() const;

  /// Normalises and projects the stream x: fills normed, query, key and value.
  void project(const View& x, const AttentionActivations& activations) const;

  /// f = heads · W_o, [rows, width], from activations.out.
  void join_heads(const AttentionActivations& activations, const View& f) const;

  /// Given df [rows, width]: fills dout and adds the gradient of W_o to `gradients`.
  void join_heads_backward(const AttentionActivations& activations, const View& df,
                           const AttentionTensors& gradients, const View& dout) const;

  /// From the gradients of query, key and value: adds those of the other weights to `gradients`
  /// and that of x to dx. x and activations as `project` left them; dnormed: scratch [rows, width].
  void project_backward(const View& x, const AttentionActivations& activations,
                        const AttentionGradients& projected, const View& dnormed,
                        const AttentionTensors& gradients, const View& dx) const;

 private:
  const AttentionPattern& pattern() const {
    return pass_.spec.layers[static_cast<size_t>(layer_)].attention;
  }
  int64_t inner() const { return pattern().heads * pattern().head_dim; }
  void linear_backward(const View& input, const View& doutput, const View& weight,
                       const View& dweight, const View& dinput, bool accumulate) const;

  const Pass& pass_;
  int layer_;
  const AttentionTensors& weights_;
};

}  // namespace reformer
