#include "trainer/replay/scaling.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/derive_mesh.h"
#include "trainer/memory_plan.h"
#include "trainer/replay/planned_log.h"

namespace reformer {
namespace {

int most_ranks(const replay::Machine& machine) {
  if (machine.has_between_nodes()) return kMostScalingRanks;
  return static_cast<int>(std::min<int64_t>(machine.ranks_per_node(), kMostScalingRanks));
}

ScalingPoint predict(const RunConfig& config, int ranks, const replay::Machine& machine,
                     const Backend& on) {
  ScalingPoint point{.ranks = ranks};
  try {
    point.place = busiest_place(config, derive_mesh(config, on, 0, ranks));
  } catch (const ConfigError& error) {
    point.refusal = error.what();
    return point;
  }
  const PlannedLog planned = plan_log(config, point.place, on);
  point.tokens = planned.tokens;
  point.bytes = planned.bytes;
  point.time = replay_step(planned.log, machine);
  return point;
}

double tokens_per_second_and_rank(const ScalingPoint& point, int64_t tokens) {
  return static_cast<double>(tokens) / (point.time.seconds * point.ranks);
}

/// "heads in 7%, gradients 2%": what the step waits for, as shares of it.
std::string describe_exposed(const StepTime& time) {
  std::vector<std::pair<double, std::string>> shares;
  for (const auto& [purpose, of_purpose] : time.by_purpose) {
    const double share = of_purpose.exposed / time.seconds;
    if (share >= 0.005) shares.emplace_back(share, purpose);
  }
  std::sort(shares.rbegin(), shares.rend());
  std::string text;
  for (const auto& [share, purpose] : shares) {
    text += fmt::format("{}{} {:.0f}%", text.empty() ? "" : ", ", purpose, 100 * share);
  }
  return text;
}

std::string line_of(const ScalingPoint& point, const replay::Machine& machine) {
  if (!point.refusal.empty()) return fmt::format("{:>5}  {}\n", point.ranks, point.refusal);
  const auto memory = static_cast<size_t>(machine.memory_bytes());
  const bool too_large = memory > 0 && point.bytes > memory;
  return fmt::format(
      "{:>5}  {:>4} × {:>3} × {:>3}{:>12}{:>12}{}{:>12.2f}{:>11.1f}%{:>13.2f}{:>12.2f}  {}\n",
      point.ranks, point.place.data_size, point.place.head_size, point.place.bucket_size(),
      point.tokens, format_bytes(point.bytes), too_large ? '!' : ' ', 1e3 * point.time.seconds,
      100 * point.efficiency, 1e3 * point.time.communication, 1e3 * point.time.exposed,
      describe_exposed(point.time));
}

}  // namespace

std::vector<ScalingPoint> predict_scaling(const RunConfig& config, Scaling scaling,
                                          const replay::Machine& machine, const Backend& on) {
  std::vector<ScalingPoint> points;
  double of_one = 0;
  for (int ranks = 1; ranks <= most_ranks(machine); ranks *= 2) {
    RunConfig run = config;
    if (scaling == Scaling::kWeak) run.run.mutable_training()->set_batch(ranks);
    points.push_back(predict(run, ranks, machine, on));
    ScalingPoint& point = points.back();
    if (!point.refusal.empty()) continue;
    const double rate =
        tokens_per_second_and_rank(point, run.run.training().batch() * run.run.data().length());
    if (ranks == 1) of_one = rate;
    point.efficiency = rate / of_one;
  }
  return points;
}

std::string scaling_table(const std::vector<ScalingPoint>& points, const replay::Machine& machine) {
  std::string text =
      fmt::format("{:>5}  {:>16}{:>12}{:>12} {:>12}{:>12}{:>13}{:>12}  {}\n", "", "data ×",
                  "tokens of", "memory of", "step", "", "communi-", "exposed", "");
  text += fmt::format("{:>5}  {:>16}{:>12}{:>12} {:>12}{:>12}{:>13}{:>12}  {}\n", "ranks",
                      "heads × buckets", "a rank", "a rank", "ms", "efficiency", "cation ms", "ms",
                      "share of the step that waits for");
  for (const ScalingPoint& point : points) text += line_of(point, machine);
  return text;
}

}  // namespace reformer
