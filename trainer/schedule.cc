#include "trainer/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/core/check.h"

namespace reformer {
namespace {

/// How much of the way from the end of the warm-up to the last step is behind us, in [0, 1].
double progress(const config::Training& training, int64_t step) {
  const int64_t warmup = training.schedule().warmup();
  const int64_t decay_steps = training.steps() - warmup;
  if (decay_steps <= 0) return 1;
  const double done = static_cast<double>(step - warmup) / static_cast<double>(decay_steps);
  return std::clamp(done, 0.0, 1.0);
}

}  // namespace

double learning_rate(const config::Training& training, int64_t step) {
  CHECK_GE(step, 1);
  const config::Schedule& schedule = training.schedule();
  const double rate = schedule.rate();
  const auto warmup = static_cast<double>(schedule.warmup());
  const auto now = static_cast<double>(step);
  if (now < warmup) return rate * now / warmup;
  switch (schedule.kind()) {
    case config::Schedule::CONSTANT:
      return rate;
    case config::Schedule::LINEAR:
      return std::lerp(rate, schedule.final_rate(), progress(training, step));
    case config::Schedule::COSINE: {
      const double cosine = std::cos(std::numbers::pi * progress(training, step));
      return std::lerp(schedule.final_rate(), rate, (1 + cosine) / 2);
    }
    case config::Schedule::RSQRT:
      return rate * std::sqrt(std::max(warmup, 1.0) / now);
  }
  return rate;
}

}  // namespace reformer
