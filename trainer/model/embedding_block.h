// Tokens and their positions, as the input of both streams: x1 = x2 = dropout(e), the same dropout
// for both.
#pragma once

#include "trainer/model/parameters.h"
#include "trainer/model/pass.h"
#include "trainer/model/streams.h"

namespace reformer {

class EmbeddingBlock {
 public:
  EmbeddingBlock(const Pass& pass, const EmbeddingTensors& weights)
      : pass_(pass), weights_(weights) {}

  /// Sets both streams. tokens: Int32 [rows].
  void forward(const View& tokens, const Streams& x) const;

  /// Given the gradients of both streams, which are destroyed: adds those of the weights.
  void backward(const View& tokens, const Streams& dx, const EmbeddingTensors& gradients) const;

 private:
  Dropout dropout() const { return pass_.dropout(kEmbeddingPart, DropoutSite::kEmbedding); }

  const Pass& pass_;
  const EmbeddingTensors& weights_;
};

}  // namespace reformer
