// FeedForward(LayerNorm(x)): the second half of a reversible layer, one chunk of tokens at a time
// (paper, section 4), so that no [rows, ff_width] tensor exists.
#pragma once

#include "trainer/model/parameters.h"
#include "trainer/model/pass.h"

namespace reformer {

class FeedForwardBlock {
 public:
  FeedForwardBlock(const Pass& pass, int layer, const FeedForwardTensors& weights)
      : pass_(pass), layer_(layer), weights_(weights) {}

  /// stream += dropout(FeedForward(LayerNorm(x))), all [rows, width].
  void forward(const View& x, const View& stream) const;

  /// Given dstream, adds the gradients of the weights to `gradients` and that of x to dx. If
  /// `stream` is defined, also undoes the forward pass: stream −=
  /// dropout(FeedForward(LayerNorm(x))).
  void backward(const View& x, const View& stream, const View& dstream,
                const FeedForwardTensors& gradients, const View& dx) const;

 private:
  struct Hidden {
    View normed;    // [rows, width]
    View expanded;  // [rows, ff_width]: before the activation
    View hidden;    // [rows, ff_width]: after activation and dropout
  };
  Hidden expand(const TokenChunk& chunk, const View& x) const;
  void contract_into(const TokenChunk& chunk, const Hidden& hidden, const View& stream,
                     bool subtract) const;
  void backward_chunk(const TokenChunk& chunk, const Hidden& hidden, const View& x,
                      const View& dstream, const FeedForwardTensors& gradients,
                      const View& dx) const;

  const Pass& pass_;
  int layer_;
  const FeedForwardTensors& weights_;
};

}  // namespace reformer
