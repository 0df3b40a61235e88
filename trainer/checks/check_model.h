// The model that the checks work on.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/config/config.h"
#include "trainer/data/dataset.h"
#include "trainer/model_state.h"

namespace reformer {

/// A run of four layers, STRICT, LOCAL, CHUNKED and FULL, with dropout, on the duplication task.
RunConfig check_config(const std::vector<std::string>& overrides = {});

/// The model with its memory, and one batch of training data.
class CheckModel {
 public:
  CheckModel(const RunConfig& config, Backend& backend);

  const ModelState& state() const { return state_; }
  Arena& arena() const { return *arena_; }
  const std::vector<Tensor>& rotations() const { return rotations_; }

  /// The gradients of the batch: the flat buffer on the host, Int64 or Float32.
  Tensor gradients() const;

  /// Mean loss of the batch in nats, with the dropout of the gradients.
  double loss() const;

  /// Logits [T, vocabulary] of one text on the host, without dropout; shows the attention to
  /// `observer`.
  Tensor logits(std::span<const int32_t> text, const AttentionObserver& observer = {}) const;

 private:
  Pass pass_over(const TokenLayout& layout, bool training) const;
  LossSums loss_sums() const;

  config::Run run_;
  std::unique_ptr<Arena> arena_;
  ModelState state_;
  std::vector<Tensor> rotations_;
  TokenBatch batch_;
};

}  // namespace reformer
