// Runs checks on all ranks of a job, and says what each found.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "launch/job.h"
#include "trainer/checks/check.h"

namespace reformer {

class CheckRunner {
 public:
  explicit CheckRunner(const RankPlace& place) : place_(place) {}

  /// Runs a check and prints its result. One that fails on any rank fails. Collective.
  void run(const std::function<CheckResult()>& check);

  /// Prints `text` on rank 0 alone.
  void say(const std::string& text) const;

  const std::vector<CheckResult>& results() const { return results_; }

  /// Of the process that ran the checks.
  int exit_code() const;

 private:
  const RankPlace& place_;
  std::vector<CheckResult> results_;
};

}  // namespace reformer
