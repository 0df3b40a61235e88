#include "launch/doctor/finding.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace reformer::doctor {
namespace {

const char* name_of(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kWarning:
      return "warning";
    case Level::kProblem:
      return "PROBLEM";
  }
  return "?";
}

int64_t count(const std::vector<Finding>& findings, Level level) {
  return std::count_if(findings.begin(), findings.end(),
                       [&](const Finding& finding) { return finding.level == level; });
}

}  // namespace

Finding ok(std::string topic, std::string text) {
  return {.level = Level::kOk, .topic = std::move(topic), .text = std::move(text), .remedy = ""};
}

Finding warning(std::string topic, std::string text, std::string remedy) {
  return {Level::kWarning, std::move(topic), std::move(text), std::move(remedy)};
}

Finding problem(std::string topic, std::string text, std::string remedy) {
  return {Level::kProblem, std::move(topic), std::move(text), std::move(remedy)};
}

std::string format(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    text += fmt::format("{:<8} {}: {}\n", name_of(finding.level), finding.topic, finding.text);
    if (!finding.remedy.empty()) text += fmt::format("{:<8} → {}\n", "", finding.remedy);
  }
  const int64_t warnings = count(findings, Level::kWarning);
  const int64_t problems = count(findings, Level::kProblem);
  return text + fmt::format("{} problem{}, {} warning{}\n", problems, problems == 1 ? "" : "s",
                            warnings, warnings == 1 ? "" : "s");
}

bool has_problem(const std::vector<Finding>& findings) {
  return count(findings, Level::kProblem) > 0;
}

}  // namespace reformer::doctor
