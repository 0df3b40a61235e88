// The reversible layers (paper, section 3):
//
//   y1 = x1 + Attention(LayerNorm(x2))        x2 = y2 − FeedForward(LayerNorm(y1))
//   y2 = x2 + FeedForward(LayerNorm(y1))      x1 = y1 − Attention(LayerNorm(x2))
//
// The two streams are updated in place. The backward pass rebuilds each layer's inputs from its
// outputs, so no activation is kept per layer; with Fixed32 streams it meets the very same bits.
// With spec.store_activations the inputs and attention activations are kept instead.
#pragma once

#include <functional>
#include <vector>

#include "trainer/model/attention_block.h"
#include "trainer/model/parameters.h"
#include "trainer/model/pass.h"
#include "trainer/model/streams.h"

namespace reformer {

class ReversibleStack {
 public:
  /// `pass` and `weights` must outlive the stack.
  ReversibleStack(const Pass& pass, const ModelTensors& weights) : pass_(pass), weights_(weights) {}

  /// x becomes the output. What the backward pass needs stays on the arena.
  void forward(const Streams& x);

  /// The same result, with nothing kept. `observer` may be empty.
  void forward_only(const Streams& x, const AttentionObserver& observer = {});

  /// x: the output of `forward`, becomes its input again (unless activations are stored). dx: the
  /// gradient of the output, becomes that of the input. Adds the gradients of the weights, and
  /// calls layer_done(layer) when those of a layer are complete, from the last to the first.
  void backward(const Streams& x, const Streams& dx, const ModelTensors& gradients,
                const std::function<void(int layer)>& layer_done);

 private:
  struct LayerRecord {
    Slots slots;
    // Only with spec.store_activations:
    AttentionActivations attention;
    View attention_input;     // x2
    View feed_forward_input;  // y1
  };

  LayerRecord allocate_record(int layer) const;
  void forward_layer(int layer, const LayerRecord& record, const Streams& x,
                     const AttentionObserver& observer) const;
  void backward_feed_forward(int layer, const LayerRecord& record, const Streams& x,
                             const Streams& dx, const ModelTensors& gradients) const;
  void backward_attention(int layer, const LayerRecord& record, const Streams& x, const Streams& dx,
                          const ModelTensors& gradients) const;
  void add_attention(int layer, const View& stream, const View& f, bool subtract) const;

  int layers() const { return static_cast<int>(pass_.spec.layers.size()); }
  const AttentionTensors& attention_of(const ModelTensors& tensors, int layer) const {
    return tensors.attention[static_cast<size_t>(layer)];
  }
  const FeedForwardTensors& feed_forward_of(const ModelTensors& tensors, int layer) const {
    return tensors.feed_forward[static_cast<size_t>(layer)];
  }

  const Pass& pass_;
  const ModelTensors& weights_;
  std::vector<LayerRecord> records_;
};

}  // namespace reformer
