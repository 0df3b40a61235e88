#include "trainer/model/reformer.h"

#include "trainer/model/reversible_stack.h"

namespace reformer {
namespace {

Streams allocate_streams(const Pass& pass, DType dtype) {
  const Shape shape{pass.layout.rows(), pass.spec.width};
  return {pass.arena.allocate(dtype, shape, MemoryUse::kStreams),
          pass.arena.allocate(dtype, shape, MemoryUse::kStreams)};
}

}  // namespace

Reformer::Reformer(const ModelSpec& spec, const View& parameters)
    : spec_(spec), weights_(bind_parameters(spec, parameters)) {}

void Reformer::accumulate_gradients(const Pass& pass, const View& tokens, const View& labels,
                                    const LossSums& sums, const View& gradients,
                                    const PartDone& part_done) const {
  Arena::Mark mark(pass.arena);
  const ModelTensors gradient_of = bind_parameters(spec_, gradients);

  const Streams x = embed(pass, tokens);
  ReversibleStack stack(pass, weights_);
  stack.forward(x);

  const Streams dx = allocate_streams(pass, DType::kFloat32);
  LossHead(pass, weights_.head).loss_and_gradient(x, labels, sums, gradient_of.head, dx);
  part_done(pass.spec.head_part());

  stack.backward(x, dx, gradient_of, part_done);
  embed_backward(pass, tokens, dx, gradient_of.embedding);
  part_done(kEmbeddingPart);
}

void Reformer::evaluate(const Pass& pass, const View& tokens, const View& labels,
                        const LossSums& sums) const {
  Arena::Mark mark(pass.arena);
  const Streams x = embed(pass, tokens);
  ReversibleStack(pass, weights_).forward_only(x);
  LossHead(pass, weights_.head).loss(x, labels, sums);
}

void Reformer::logits(const Pass& pass, const View& tokens, const View& logits) const {
  Arena::Mark mark(pass.arena);
  const Streams x = embed(pass, tokens);
  ReversibleStack(pass, weights_).forward_only(x);
  LossHead(pass, weights_.head).logits(x, logits);
}

Streams Reformer::embed(const Pass& pass, const View& tokens) const {
  const Streams x = allocate_streams(pass, spec_.stream_dtype);
  Arena::Mark mark(pass.arena);
  const View embedded = pass.block_memory(x.x1.shape());
  pass.backend.embed({.layout = pass.layout,
                      .tokens = tokens,
                      .table = weights_.embedding.table,
                      .axes = weights_.embedding.axes,
                      .y = embedded});
  // x1 = x2 = e, both with the same dropout.
  for (const View& stream : {x.x1, x.x2}) {
    pass.backend.fill_zero(stream);
    pass.backend.residual({.layout = pass.layout,
                           .stream = stream,
                           .f = embedded,
                           .subtract = false,
                           .dropout = pass.dropout(kEmbeddingPart, DropoutSite::kEmbedding),
                           .faults = pass.faults_of(kEmbeddingPart)});
  }
  return x;
}

void Reformer::embed_backward(const Pass& pass, const View& tokens, const Streams& dx,
                              const EmbeddingTensors& gradients) const {
  const Dropout dropout = pass.dropout(kEmbeddingPart, DropoutSite::kEmbedding);
  // de = dropout(dx1 + dx2); a Float32 stream adds plain floats.
  const View& de = dx.x1;
  pass.backend.residual({.layout = pass.layout,
                         .stream = de,
                         .f = dx.x2,
                         .subtract = false,
                         .dropout = {},
                         .faults = pass.faults_of(kEmbeddingPart)});
  pass.backend.dropout({.layout = pass.layout, .dropout = dropout, .x = de, .y = de});
  pass.backend.embed_backward({.layout = pass.layout,
                               .tokens = tokens,
                               .dy = de,
                               .dtable = gradients.table,
                               .daxes = gradients.axes,
                               .sum = pass.token_sum(kEmbeddingPart)});
}

}  // namespace reformer
