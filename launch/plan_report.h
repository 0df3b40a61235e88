// What `reformer plan` prints and writes.
#pragma once

#include <optional>
#include <string>

#include "trainer/fit.h"
#include "trainer/run_plan.h"

namespace reformer {

/// What fits into `memory` bytes a rank.
struct Fits {
  size_t memory = 0;
  std::optional<Fit> longest;  // data.length; not where it is that of records
  Fit fewest;                  // ranks
};

struct PlanReport {
  RunConfig config;
  RunPlan plan{};
  std::optional<Fits> fits{};
};

/// For people.
std::string plan_tables(const PlanReport& report);

/// The same as JSON.
std::string to_json(const PlanReport& report);

}  // namespace reformer
