#include "trainer/skip_guard.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "kernels/backend.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

// Accepted steps before a norm can be called a spike, and the length of the running mean's memory.
constexpr int64_t kSettlingSteps = 20;
constexpr double kMeanSteps = 100;

/// "the embedding", "layer 3" or "the head" for a row of the fault counters.
std::string place_of(size_t row, size_t rows) {
  if (row == 0) return "the embedding";
  if (row == rows - 1) return "the head";
  return fmt::format("layer {}", row - 1);
}

/// The first place with faults, in words; empty if there is none.
std::string describe_faults(const std::vector<int64_t>& faults) {
  const size_t rows = faults.size() / kFaultKinds;
  for (size_t row = 0; row < rows; ++row) {
    const int64_t saturated = faults[row * kFaultKinds + kStreamSaturated];
    const int64_t overflowed = faults[row * kFaultKinds + kSumOverflowed];
    if (saturated > 0) {
      return fmt::format("{} values of the residual stream out of range in {}", saturated,
                         place_of(row, rows));
    }
    if (overflowed > 0) {
      return fmt::format("{} gradient terms out of range in {}", overflowed, place_of(row, rows));
    }
  }
  return "";
}

}  // namespace

SkipGuard::SkipGuard(const config::Training& training)
    : max_skipped_(training.max_skipped()), spike_factor_(training.spike_factor()) {}

bool SkipGuard::judge(const StepEvidence& evidence) {
  std::string reason = find_reason(evidence);
  if (reason.empty()) {
    accept(evidence.gradient_norm);
    return false;
  }
  reason_ = std::move(reason);
  ++state_.skipped_in_a_row;
  if (state_.skipped_in_a_row >= max_skipped_) {
    throw DivergenceError(fmt::format("step {}: {}; {} steps in a row were skipped, stopping",
                                      evidence.step, reason_, state_.skipped_in_a_row));
  }
  return true;
}

std::string SkipGuard::find_reason(const StepEvidence& evidence) const {
  std::string faults = describe_faults(evidence.faults);
  if (!faults.empty()) return faults;
  if (!std::isfinite(evidence.loss)) return "the loss is not finite";
  if (!std::isfinite(evidence.gradient_norm)) return "the gradient norm is not finite";
  const bool settled = state_.accepted >= kSettlingSteps;
  if (spike_factor_ > 0 && settled && evidence.gradient_norm > spike_factor_ * state_.mean_norm) {
    return fmt::format("the gradient norm {:.3g} is more than {:g} times its running mean {:.3g}",
                       evidence.gradient_norm, spike_factor_, state_.mean_norm);
  }
  return "";
}

void SkipGuard::accept(double gradient_norm) {
  state_.skipped_in_a_row = 0;
  ++state_.accepted;
  const double steps = std::min(static_cast<double>(state_.accepted), kMeanSteps);
  state_.mean_norm += (gradient_norm - state_.mean_norm) / steps;
}

}  // namespace reformer
