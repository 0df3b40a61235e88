#include "trainer/model/embedding_block.h"

namespace reformer {

void EmbeddingBlock::forward(const View& tokens, const Streams& x) const {
  Arena::Mark mark(pass_.arena);
  const View embedded = pass_.block_memory(x.x1.shape());
  pass_.backend.embed({.layout = pass_.layout,
                       .tokens = tokens,
                       .table = weights_.table,
                       .axes = weights_.axes,
                       .y = embedded});
  for (const View& stream : {x.x1, x.x2}) {
    pass_.backend.fill_zero(stream);
    pass_.backend.residual({.layout = pass_.layout,
                            .stream = stream,
                            .f = embedded,
                            .subtract = false,
                            .dropout = dropout(),
                            .faults = pass_.faults_of(kEmbeddingPart)});
  }
}

void EmbeddingBlock::backward(const View& tokens, const Streams& dx,
                              const EmbeddingTensors& gradients) const {
  // de = dropout(dx1 + dx2); a Float32 stream adds plain floats.
  const View& de = dx.x1;
  pass_.backend.residual({.layout = pass_.layout,
                          .stream = de,
                          .f = dx.x2,
                          .subtract = false,
                          .dropout = {},
                          .faults = pass_.faults_of(kEmbeddingPart)});
  pass_.backend.dropout({.layout = pass_.layout, .dropout = dropout(), .x = de, .y = de});
  pass_.backend.embed_backward({.layout = pass_.layout,
                                .tokens = tokens,
                                .dy = de,
                                .dtable = gradients.table,
                                .daxes = gradients.axes,
                                .sum = pass_.token_sum(kEmbeddingPart)});
}

}  // namespace reformer
