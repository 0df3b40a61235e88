#include "trainer/model/feed_forward_block.h"

namespace reformer {
namespace {

// Enough token tiles for all threads, few enough that a chunk's hidden layer stays in the cache.
constexpr int64_t kChunkTokens = 2048;

}  // namespace

void FeedForwardBlock::forward(const View& x, const View& stream) const {
  for (const TokenChunk& chunk : token_chunks(pass_.layout, kChunkTokens)) {
    Arena::Mark mark(pass_.arena);
    const Hidden hidden = expand(chunk, chunk.of(x));
    contract_into(chunk, hidden, chunk.of(stream), /*subtract=*/false);
  }
}

void FeedForwardBlock::backward(const View& x, const View& stream, const View& dstream,
                                const FeedForwardTensors& gradients, const View& dx) const {
  for (const TokenChunk& chunk : token_chunks(pass_.layout, kChunkTokens)) {
    Arena::Mark mark(pass_.arena);
    const Hidden hidden = expand(chunk, chunk.of(x));
    if (stream.defined()) contract_into(chunk, hidden, chunk.of(stream), /*subtract=*/true);
    backward_chunk(chunk, hidden, chunk.of(x), chunk.of(dstream), gradients, chunk.of(dx));
  }
}

FeedForwardBlock::Hidden FeedForwardBlock::expand(const TokenChunk& chunk, const View& x) const {
  const int64_t rows = chunk.layout.rows();
  Hidden hidden;
  hidden.normed = pass_.activation_memory({rows, pass_.spec.width});
  hidden.expanded = pass_.activation_memory({rows, pass_.spec.ff_width});
  hidden.hidden = pass_.activation_memory({rows, pass_.spec.ff_width});
  pass_.backend.layer_norm({.x = x,
                            .gamma = weights_.norm_gamma,
                            .beta = weights_.norm_beta,
                            .epsilon = pass_.spec.layer_norm_epsilon,
                            .y = hidden.normed});
  pass_.backend.linear({.layout = chunk.layout,
                        .x = hidden.normed,
                        .weight = weights_.expand,
                        .bias = weights_.expand_bias,
                        .y = hidden.expanded});
  pass_.backend.activation({.layout = chunk.layout,
                            .activation = pass_.spec.activation,
                            .dropout = pass_.dropout(layer_, DropoutSite::kFeedForwardHidden),
                            .x = hidden.expanded,
                            .y = hidden.hidden});
  return hidden;
}

void FeedForwardBlock::contract_into(const TokenChunk& chunk, const Hidden& hidden,
                                     const View& stream, bool subtract) const {
  Arena::Mark mark(pass_.arena);
  const View f = pass_.activation_memory({chunk.layout.rows(), pass_.spec.width});
  pass_.backend.linear({.layout = chunk.layout,
                        .x = hidden.hidden,
                        .weight = weights_.contract,
                        .bias = weights_.contract_bias,
                        .y = f});
  pass_.backend.residual({.layout = chunk.layout,
                          .stream = stream,
                          .f = f,
                          .subtract = subtract,
                          .dropout = pass_.dropout(layer_, DropoutSite::kFeedForwardOutput),
                          .faults = pass_.faults_of(layer_)});
}

void FeedForwardBlock::backward_chunk(const TokenChunk& chunk, const Hidden& hidden, const View& x,
                                      const View& dstream, const FeedForwardTensors& gradients,
                                      const View& dx) const {
  Backend& backend = pass_.backend;
  const int64_t rows = chunk.layout.rows();
  const View df = pass_.activation_memory({rows, pass_.spec.width});
  backend.dropout({.layout = chunk.layout,
                   .dropout = pass_.dropout(layer_, DropoutSite::kFeedForwardOutput),
                   .x = dstream,
                   .y = df});
  backend.linear_backward_weight({.layout = chunk.layout,
                                  .x = hidden.hidden,
                                  .dy = df,
                                  .dweight = gradients.contract,
                                  .dbias = gradients.contract_bias,
                                  .sum = pass_.leaf_sum(layer_)});
  const View& dhidden = hidden.hidden;  // the hidden layer has been used up
  backend.linear_backward_input(
      {.layout = chunk.layout, .dy = df, .weight = weights_.contract, .dx = dhidden});
  const View& dexpanded = dhidden;
  backend.activation_backward({.layout = chunk.layout,
                               .activation = pass_.spec.activation,
                               .dropout = pass_.dropout(layer_, DropoutSite::kFeedForwardHidden),
                               .x = hidden.expanded,
                               .dy = dhidden,
                               .dx = dexpanded});
  backend.linear_backward_weight({.layout = chunk.layout,
                                  .x = hidden.normed,
                                  .dy = dexpanded,
                                  .dweight = gradients.expand,
                                  .dbias = gradients.expand_bias,
                                  .sum = pass_.leaf_sum(layer_)});
  const View& dnormed = df;
  backend.linear_backward_input(
      {.layout = chunk.layout, .dy = dexpanded, .weight = weights_.expand, .dx = dnormed});
  backend.layer_norm_backward({.layout = chunk.layout,
                               .x = x,
                               .gamma = weights_.norm_gamma,
                               .epsilon = pass_.spec.layer_norm_epsilon,
                               .dy = dnormed,
                               .dx = dx,
                               .accumulate = true,
                               .dgamma = gradients.norm_gamma,
                               .dbeta = gradients.norm_beta,
                               .sum = pass_.leaf_sum(layer_)});
}

}  // namespace reformer
