#include "trainer/fit.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/run_plan.h"

namespace reformer {
namespace {

enum class Verdict { kFits, kTooLarge, kIllegal };

struct Trial {
  Verdict verdict = Verdict::kIllegal;
  size_t bytes = 0;       // unless illegal
  std::string message{};  // why it does not fit or is illegal
};

Trial attempt(const std::function<RunConfig()>& config, int ranks, size_t memory,
              const Backend& on) {
  try {
    const size_t bytes = plan_bytes(config(), ranks, on);
    if (bytes <= memory) return {.verdict = Verdict::kFits, .bytes = bytes};
    return {.verdict = Verdict::kTooLarge,
            .bytes = bytes,
            .message = fmt::format("a rank takes {}", format_bytes(bytes))};
  } catch (const ConfigError& error) {
    return {.message = error.what()};
  }
}

/// Between a length that is not too long and one that is, both in leaves.
class LengthSearch {
 public:
  /// `attempt_at` tries so many leaves.
  explicit LengthSearch(std::function<Trial(int64_t)> attempt_at)
      : attempt_at_(std::move(attempt_at)) {}

  void run(int64_t first) {
    // What is illegal is too long above a length that is legal, and too short below.
    look_at(first, /*illegal_is_long=*/true);
    const bool down = longest_ == 0;
    while (above_ == 0) look_at(2 * longest_, true);
    for (int64_t length = above_ / 2; down && longest_ == 0 && below_ < length; length /= 2) {
      look_at(length, false);
    }
    while (above_ - std::max(longest_, below_) > 1) {
      look_at((above_ + std::max(longest_, below_)) / 2, !down);
    }
  }

  int64_t longest() const { return longest_; }
  size_t bytes() const { return bytes_; }
  int64_t too_long() const { return above_; }
  const std::string& why() const { return why_; }

 private:
  void look_at(int64_t length, bool illegal_is_long) {
    const Trial trial = attempt_at_(length);
    if (trial.verdict == Verdict::kFits) {
      longest_ = length;
      bytes_ = trial.bytes;
    } else if (trial.verdict == Verdict::kTooLarge || illegal_is_long) {
      above_ = length;
      why_ = trial.message;
    } else {
      below_ = length;
    }
  }

  std::function<Trial(int64_t)> attempt_at_;
  int64_t below_ = 0;    // too short to be legal
  int64_t longest_ = 0;  // the longest that fits so far
  size_t bytes_ = 0;
  int64_t above_ = 0;  // too long
  std::string why_;
};

}  // namespace

Fit fit_length(const ConfigOfLength& config_of, const RunConfig& config, int ranks, size_t memory,
               const Backend& on) {
  const int64_t leaf = config.run.execution().leaf_tokens();
  LengthSearch search([&](int64_t leaves) {
    return attempt([&] { return config_of(leaves * leaf); }, ranks, memory, on);
  });
  search.run(std::max<int64_t>(1, config.run.data().length() / leaf));
  return {.value = search.longest() * leaf,
          .bytes = search.bytes(),
          .limit = fmt::format("with {}: {}", search.too_long() * leaf, search.why())};
}

Fit fit_ranks(const RunConfig& config, size_t memory, const Backend& on, int most) {
  std::string limit;
  for (int ranks = 1; ranks <= most; ++ranks) {
    const Trial trial = attempt([&] { return config; }, ranks, memory, on);
    if (trial.verdict == Verdict::kFits) {
      return {.value = ranks, .bytes = trial.bytes, .limit = limit};
    }
    limit = fmt::format("with {}: {}", ranks, trial.message);
  }
  return {.limit = limit};
}

}  // namespace reformer
