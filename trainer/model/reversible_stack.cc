#include "trainer/model/reversible_stack.h"

#include "trainer/model/feed_forward_block.h"

namespace reformer {

void ReversibleStack::forward(const Streams& x) {
  records_.clear();
  for (int layer = 0; layer < layers(); ++layer) {
    records_.push_back(allocate_record(layer));
    forward_layer(layer, records_.back(), x, {});
  }
}

void ReversibleStack::forward_only(const Streams& x, const AttentionObserver& observer) {
  for (int layer = 0; layer < layers(); ++layer) {
    Arena::Mark mark(pass_.arena);
    LayerRecord record;
    record.slots = make_attention_core(pass_, layer)->allocate_slots();
    forward_layer(layer, record, x, observer);
  }
}

void ReversibleStack::backward(const Streams& x, const Streams& dx, const ModelTensors& gradients,
                               const std::function<void(int layer)>& layer_done) {
  CHECK_EQ(records_.size(), pass_.spec.layers.size());
  for (int layer = layers() - 1; layer >= 0; --layer) {
    const LayerRecord& record = records_[static_cast<size_t>(layer)];
    backward_feed_forward(layer, record, x, dx, gradients);
    backward_attention(layer, record, x, dx, gradients);
    layer_done(layer);
  }
}

ReversibleStack::LayerRecord ReversibleStack::allocate_record(int layer) const {
  const AttentionBlock block(pass_, layer, attention_of(weights_, layer));
  LayerRecord record;
  record.slots = make_attention_core(pass_, layer)->allocate_slots();
  if (pass_.spec.store_activations) {
    const Shape stream{pass_.layout.rows(), pass_.spec.width};
    const auto allocate = [&] {
      return pass_.arena.allocate(pass_.spec.stream_dtype, stream, MemoryUse::kStored);
    };
    record.attention = block.allocate_activations(MemoryUse::kStored);
    record.attention_input = allocate();
    record.feed_forward_input = allocate();
  }
  return record;
}

void ReversibleStack::forward_layer(int layer, const LayerRecord& record, const Streams& x,
                                    const AttentionObserver& observer) const {
  {
    Arena::Mark mark(pass_.arena);
    const AttentionBlock attention(pass_, layer, attention_of(weights_, layer));
    const AttentionActivations activations =
        record.attention.normed.defined() ? record.attention
                                          : attention.allocate_activations(MemoryUse::kBlock);
    const View f = pass_.activation_memory(x.x1.shape());
    if (record.attention_input.defined()) pass_.backend.copy(x.x2, record.attention_input);
    attention.project(x.x2, activations);
    make_attention_core(pass_, layer, observer)->sort_and_attend(activations, record.slots);
    attention.join_heads(activations, f);
    add_attention(layer, x.x1, f, /*subtract=*/false);
  }
  if (record.feed_forward_input.defined()) pass_.backend.copy(x.x1, record.feed_forward_input);
  FeedForwardBlock(pass_, layer, feed_forward_of(weights_, layer)).forward(x.x1, x.x2);
}

void ReversibleStack::backward_feed_forward(int layer, const LayerRecord& record, const Streams& x,
                                            const Streams& dx,
                                            const ModelTensors& gradients) const {
  const FeedForwardBlock feed_forward(pass_, layer, feed_forward_of(weights_, layer));
  const bool stored = record.feed_forward_input.defined();
  const View& y1 = stored ? record.feed_forward_input : x.x1;
  const View y2 = stored ? View() : x.x2;
  feed_forward.backward(y1, y2, dx.x2, feed_forward_of(gradients, layer), dx.x1);
}

void ReversibleStack::backward_attention(int layer, const LayerRecord& record, const Streams& x,
                                         const Streams& dx, const ModelTensors& gradients) const {
  Arena::Mark mark(pass_.arena);
  const AttentionBlock attention(pass_, layer, attention_of(weights_, layer));
  // One for both, so that what it fetches to rebuild x1 serves the gradient as well.
  const std::unique_ptr<AttentionCore> core = make_attention_core(pass_, layer);
  const View f = pass_.activation_memory(x.x1.shape());
  const bool stored = record.attention_input.defined();
  AttentionActivations activations = record.attention;
  if (!stored) {
    activations = attention.allocate_activations(MemoryUse::kBlock);
    attention.project(x.x2, activations);
    core->attend(activations, record.slots);
    attention.join_heads(activations, f);
    add_attention(layer, x.x1, f, /*subtract=*/true);
  }
  const View& x2 = stored ? record.attention_input : x.x2;
  const View& df = f;
  pass_.backend.dropout({.layout = pass_.layout,
                         .dropout = pass_.dropout(layer, DropoutSite::kAttentionOutput),
                         .x = dx.x1,
                         .y = df});
  const AttentionTensors& dweights = attention_of(gradients, layer);
  const AttentionGradients projected = attention.allocate_gradients();
  attention.join_heads_backward(activations, df, dweights, projected.dout);
  core->backward(activations, record.slots, projected);
  const View& dnormed = df;  // df has been used up
  attention.project_backward(x2, activations, projected, dnormed, dweights, dx.x2);
}

void ReversibleStack::add_attention(int layer, const View& stream, const View& f,
                                    bool subtract) const {
  pass_.backend.residual({.layout = pass_.layout,
                          .stream = stream,
                          .f = f,
                          .subtract = subtract,
                          .dropout = pass_.dropout(layer, DropoutSite::kAttentionOutput),
                          .faults = pass_.faults_of(layer)});
}

}  // namespace reformer
