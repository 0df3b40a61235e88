#include "trainer/model/loss_head.h"

#include <algorithm>

namespace reformer {
namespace {

// Bounds the logits of a chunk, in elements, as far as whole leaves allow.
constexpr int64_t kChunkLogits = int64_t{1} << 24;
constexpr int64_t kMostChunkTokens = 4096;

}  // namespace

void LossHead::logits(const Streams& x, const View& logits) const {
  for (const TokenChunk& chunk : chunks()) {
    Arena::Mark mark(pass_.arena);
    compute_tile(chunk, x, chunk.of(logits));
  }
}

void LossHead::loss(const Streams& x, const View& labels, const LossSums& sums) const {
  for (const TokenChunk& chunk : chunks()) {
    Arena::Mark mark(pass_.arena);
    const View logits = pass_.block_memory({chunk.layout.rows(), pass_.spec.vocabulary});
    cross_entropy(compute_tile(chunk, x, logits), chunk.of(labels), sums, /*gradient=*/false);
  }
}

void LossHead::loss_and_gradient(const Streams& x, const View& labels, const LossSums& sums,
                                 const HeadTensors& gradients, const Streams& dx) const {
  for (const TokenChunk& chunk : chunks()) {
    Arena::Mark mark(pass_.arena);
    const View logits = pass_.block_memory({chunk.layout.rows(), pass_.spec.vocabulary});
    const Tile tile = compute_tile(chunk, x, logits);
    cross_entropy(tile, chunk.of(labels), sums, /*gradient=*/true);
    backward_tile(chunk, tile, gradients, dx);
  }
}

std::vector<TokenChunk> LossHead::chunks() const {
  const int64_t tokens =
      std::clamp<int64_t>(kChunkLogits / pass_.spec.vocabulary, 1, kMostChunkTokens);
  return token_chunks(pass_.layout, tokens);
}

LossHead::Tile LossHead::compute_tile(const TokenChunk& chunk, const Streams& x,
                                      const View& logits) const {
  Backend& backend = pass_.backend;
  const Shape shape{chunk.layout.rows(), 2 * pass_.spec.width};
  const Tile tile{pass_.activation_memory(shape), pass_.activation_memory(shape), logits};
  backend.join_streams({.x1 = chunk.of(x.x1), .x2 = chunk.of(x.x2), .joined = tile.joined});
  backend.layer_norm({.x = tile.joined,
                      .gamma = weights_.norm_gamma,
                      .beta = weights_.norm_beta,
                      .epsilon = pass_.spec.layer_norm_epsilon,
                      .y = tile.normed});
  const Dropout dropout = pass_.dropout(pass_.spec.head_part(), DropoutSite::kHead);
  backend.dropout({.layout = chunk.layout, .dropout = dropout, .x = tile.normed, .y = tile.normed});
  backend.linear({.layout = chunk.layout,
                  .x = tile.normed,
                  .weight = weights_.weight,
                  .bias = weights_.bias,
                  .y = tile.logits});
  return tile;
}

void LossHead::cross_entropy(const Tile& tile, const View& labels, const LossSums& sums,
                             bool gradient) const {
  pass_.backend.cross_entropy({.logits = tile.logits,
                               .labels = labels,
                               .scale = sums.scale,
                               .gradient = gradient,
                               .loss = sums.loss,
                               .correct = sums.correct,
                               .sum = pass_.token_sum(pass_.spec.head_part())});
}

void LossHead::backward_tile(const TokenChunk& chunk, const Tile& tile,
                             const HeadTensors& gradients, const Streams& dx) const {
  Backend& backend = pass_.backend;
  const int row = pass_.spec.head_part();
  const View& dlogits = tile.logits;
  backend.linear_backward_weight({.layout = chunk.layout,
                                  .x = tile.normed,
                                  .dy = dlogits,
                                  .dweight = gradients.weight,
                                  .dbias = gradients.bias,
                                  .sum = pass_.leaf_sum(row)});
  const View& dnormed = tile.normed;  // the normalised streams have been used up
  backend.linear_backward_input(
      {.layout = chunk.layout, .dy = dlogits, .weight = weights_.weight, .dx = dnormed});
  const Dropout dropout = pass_.dropout(row, DropoutSite::kHead);
  backend.dropout({.layout = chunk.layout, .dropout = dropout, .x = dnormed, .y = dnormed});
  const View djoined = pass_.activation_memory(tile.joined.shape());
  backend.layer_norm_backward({.layout = chunk.layout,
                               .x = tile.joined,
                               .gamma = weights_.norm_gamma,
                               .epsilon = pass_.spec.layer_norm_epsilon,
                               .dy = dnormed,
                               .dx = djoined,
                               .accumulate = false,
                               .dgamma = gradients.norm_gamma,
                               .dbeta = gradients.norm_beta,
                               .sum = pass_.leaf_sum(row)});
  backend.split_streams({.djoined = djoined, .dx1 = chunk.of(dx.x1), .dx2 = chunk.of(dx.x2)});
}

}  // namespace reformer
