// Findings as short text, so that all of a matter can be compared at once.
#pragma once

#include <string>
#include <vector>

#include "launch/doctor/finding.h"

namespace reformer::doctor::testing {

/// "ok" for a finding of the topic that is well, else "warning: text → remedy"; "absent" if none.
template <typename Facts>
std::string about(const Facts& facts, const std::string& topic) {
  for (const Finding& finding : judge(facts)) {
    if (finding.topic != topic) continue;
    if (finding.level == Level::kOk) return "ok: " + finding.text;
    return (finding.level == Level::kWarning ? "warning: " : "problem: ") + finding.text + " → " +
           finding.remedy;
  }
  return "absent";
}

}  // namespace reformer::doctor::testing
