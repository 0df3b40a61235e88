// Decides whether the update of a step is skipped: a non-finite loss or gradient, numeric faults,
// or a spike of the gradient norm. The decision is a function of values that are equal on all
// ranks, so the ranks agree on it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/run.pb.h"

namespace reformer {

/// What is known of a step before its update.
struct StepEvidence {
  int64_t step = 0;
  double loss = 0;
  double gradient_norm = 0;
  std::vector<int64_t> faults;  // [layers + 2, kFaultKinds], see Pass::faults; summed over ranks
};

class SkipGuard {
 public:
  /// What a checkpoint keeps.
  struct State {
    double mean_norm = 0;  // running mean of the norms of accepted steps
    int64_t accepted = 0;  // steps in the mean
    int64_t skipped_in_a_row = 0;
  };

  explicit SkipGuard(const config::Training& training);

  /// True when the step is to be skipped; reason() then says why. Throws DivergenceError after
  /// training.max_skipped skipped steps in a row.
  bool judge(const StepEvidence& evidence);

  /// Why the last skipped step was skipped.
  const std::string& reason() const { return reason_; }

  const State& state() const { return state_; }
  void restore(const State& state) { state_ = state; }

 private:
  std::string find_reason(const StepEvidence& evidence) const;
  void accept(double gradient_norm);

  int64_t max_skipped_;
  double spike_factor_;
  State state_;
  std::string reason_;
};

}  // namespace reformer
