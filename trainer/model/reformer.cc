#include "trainer/model/reformer.h"

#include "trainer/model/embedding_block.h"

namespace reformer {

Reformer::Reformer(const ModelSpec& spec, const View& parameters)
    : spec_(spec), weights_(bind_parameters(spec, parameters)) {}

void Reformer::accumulate_gradients(const Pass& pass, const View& tokens, const View& labels,
                                    const LossSums& sums, const View& gradients,
                                    const PartDone& part_done) const {
  Arena::Mark mark(pass.arena);
  const ModelTensors gradient_of = bind_parameters(spec_, gradients);

  const EmbeddingBlock embedding(pass, weights_.embedding);
  const Streams x = allocate_streams(pass, spec_.stream_dtype);
  embedding.forward(tokens, x);
  ReversibleStack stack(pass, weights_);
  stack.forward(x);

  const Streams dx = allocate_streams(pass, DType::kFloat32);
  LossHead(pass, weights_.head).loss_and_gradient(x, labels, sums, gradient_of.head, dx);
  part_done(pass.spec.head_part());

  stack.backward(x, dx, gradient_of, part_done);
  embedding.backward(tokens, dx, gradient_of.embedding);
  part_done(kEmbeddingPart);
}

void Reformer::evaluate(const Pass& pass, const View& tokens, const View& labels,
                        const LossSums& sums, const AttentionObserver& observer) const {
  Arena::Mark mark(pass.arena);
  const Streams x = forward_only(pass, tokens, observer);
  LossHead(pass, weights_.head).loss(x, labels, sums);
}

void Reformer::logits(const Pass& pass, const View& tokens, const View& logits,
                      const AttentionObserver& observer) const {
  Arena::Mark mark(pass.arena);
  const Streams x = forward_only(pass, tokens, observer);
  LossHead(pass, weights_.head).logits(x, logits);
}

void Reformer::last_logits(const Pass& pass, const View& tokens, const View& logits,
                           const AttentionObserver& observer) const {
  Arena::Mark mark(pass.arena);
  const Streams x = forward_only(pass, tokens, observer);
  Pass last = pass;
  last.layout.samples = 1;
  last.layout.length = 1;
  for (int64_t sample = 0; sample < pass.layout.samples; ++sample) {
    const int64_t end = (sample + 1) * pass.layout.length;
    LossHead(last, weights_.head).logits(x.rows(end - 1, end), logits.rows(sample, sample + 1));
  }
}

Streams Reformer::forward_only(const Pass& pass, const View& tokens,
                               const AttentionObserver& observer) const {
  const Streams x = allocate_streams(pass, spec_.stream_dtype);
  EmbeddingBlock(pass, weights_.embedding).forward(tokens, x);
  ReversibleStack(pass, weights_).forward_only(x, observer);
  return x;
}

}  // namespace reformer
