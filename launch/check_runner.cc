#include "launch/check_runner.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "launch/exit_codes.h"

namespace reformer {

void CheckRunner::run(const std::function<CheckResult()>& check) {
  const auto start = std::chrono::steady_clock::now();
  CheckResult result = check();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  result.holds = place_.communicator.sum(result.holds ? 0 : 1, "failed checks") == 0;
  say(fmt::format("{} {}: {} ({:.1f} s)\n", result.holds ? "ok    " : "FAILED", result.name,
                  result.detail, seconds.count()));
  results_.push_back(std::move(result));
}

void CheckRunner::say(const std::string& text) const {
  if (place_.communicator.rank() == 0) fmt::print("{}", text);
}

int CheckRunner::exit_code() const {
  const bool all_hold = std::all_of(results_.begin(), results_.end(),
                                    [](const CheckResult& result) { return result.holds; });
  return all_hold ? kExitOk : kExitInternal;
}

}  // namespace reformer
