// From the two streams to the loss: LayerNorm over [x1, x2], projection to the vocabulary, softmax
// cross-entropy. Works on chunks of tokens, forward and backward at once, so that neither the
// logits nor their gradient exist as a whole.
#pragma once

#include "trainer/model/parameters.h"
#include "trainer/model/pass.h"
#include "trainer/model/streams.h"

namespace reformer {

/// Where the loss of a step adds up; see CrossEntropyArgs.
struct LossSums {
  double scale = 1;  // 1 / (valid labels of the step over all ranks)
  View loss;         // Int64 [1]
  View correct;      // Int64 [1]
};

class LossHead {
 public:
  LossHead(const Pass& pass, const HeadTensors& weights) : pass_(pass), weights_(weights) {}

  /// Logits [rows, vocabulary].
  void logits(const Streams& x, const View& logits) const;

  /// Adds loss and correct predictions. labels: Int32 [rows].
  void loss(const Streams& x, const View& labels, const LossSums& sums) const;

  /// The same; also sets dx to the gradient of the streams (Float32) and adds those of the weights.
  void loss_and_gradient(const Streams& x, const View& labels, const LossSums& sums,
                         const HeadTensors& gradients, const Streams& dx) const;

 private:
  struct Tile {
    View joined;  // [rows, 2·width]
    View normed;  // [rows, 2·width], after dropout
    View logits;  // [rows, vocabulary]
  };
  std::vector<TokenChunk> chunks() const;
  Tile compute_tile(const TokenChunk& chunk, const Streams& x, const View& logits) const;
  void cross_entropy(const Tile& tile, const View& labels, const LossSums& sums,
                     bool gradient) const;
  void backward_tile(const TokenChunk& chunk, const Tile& tile, const HeadTensors& gradients,
                     const Streams& dx) const;

  const Pass& pass_;
  const HeadTensors& weights_;
};

}  // namespace reformer
