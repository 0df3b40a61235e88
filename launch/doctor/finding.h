// What `reformer doctor` says. The files beside this one each have the facts of one matter, how
// they are found out, and, apart from it, what follows from them.
#pragma once

#include <string>
#include <vector>

namespace reformer::doctor {

enum class Level {
  kOk,
  kWarning,  // works, but slowly, or fails under circumstances
  kProblem,  // does not work
};

struct Finding {
  Level level = Level::kOk;
  std::string topic = {};   // "memory"
  std::string text = {};    // what is the case
  std::string remedy = {};  // what to do about it; empty for kOk
};

Finding ok(std::string topic, std::string text);
Finding warning(std::string topic, std::string text, std::string remedy);
Finding problem(std::string topic, std::string text, std::string remedy);

/// Lines for a person: a finding in one, its remedy in another.
std::string format(const std::vector<Finding>& findings);

bool has_problem(const std::vector<Finding>& findings);

}  // namespace reformer::doctor
