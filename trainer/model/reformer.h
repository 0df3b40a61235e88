// The Reformer (Kitaev, Kaiser, Levskaya, ICLR 2020): tokens → embedding + positions → both streams
// → reversible layers → loss head. Start reading at accumulate_gradients.
#pragma once

#include <functional>

#include "trainer/model/loss_head.h"
#include "trainer/model/parameters.h"
#include "trainer/model/pass.h"
#include "trainer/model/reversible_stack.h"

namespace reformer {

class Reformer {
 public:
  /// Works on the flat buffer `parameters` (Float32 [flat_elements(spec)]), which must outlive it.
  Reformer(const ModelSpec& spec, const View& parameters);

  /// Called when this pass has added the last gradient of a part (ParameterInfo::part): the head,
  /// the layers from the last to the first, the embedding.
  using PartDone = std::function<void(int part)>;

  /// Forward and backward pass of one micro-batch: adds to `sums`, and the gradients of all
  /// parameters to `gradients` (like the parameters, dtype Int64 or Float32). tokens, labels: Int32
  /// [rows].
  void accumulate_gradients(
      const Pass& pass, const View& tokens, const View& labels, const LossSums& sums,
      const View& gradients, const PartDone& part_done = [](int) {}) const;

  /// Forward pass only: adds to `sums`.
  void evaluate(const Pass& pass, const View& tokens, const View& labels, const LossSums& sums,
                const AttentionObserver& observer = {}) const;

  /// Logits [rows, vocabulary].
  void logits(const Pass& pass, const View& tokens, const View& logits,
              const AttentionObserver& observer = {}) const;

  /// Logits of the last token of each sequence alone, [samples, vocabulary].
  void last_logits(const Pass& pass, const View& tokens, const View& logits,
                   const AttentionObserver& observer) const;

 private:
  Streams forward_only(const Pass& pass, const View& tokens,
                       const AttentionObserver& observer) const;

  ModelSpec spec_;
  ModelTensors weights_;
};

}  // namespace reformer
