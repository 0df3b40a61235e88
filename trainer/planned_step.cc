#include "trainer/planned_step.h"

#include <cmath>
#include <functional>
#include <string_view>

#include "kernels/observed_backend.h"
#include "trainer/planning.h"

namespace reformer {
namespace {

/// What has been done after `times` times what comes from `one` to `two`.
template <typename Number>
Number go_on(Number one, Number two, double times) {
  return one + static_cast<Number>(std::round(static_cast<double>(two - one) * times));
}

}  // namespace

int64_t sequences_of(const Mesh& place, int64_t batch) {
  return share_of(batch, place.data_rank, place.data_size).elements();
}

double PlannedStep::flops() const {
  double flops = 0;
  for (const auto& [op, cost] : ops) flops += cost.flops;
  return flops;
}

PlannedStep plan_micro_batches(const RunConfig& config, int64_t micro_batches, const Mesh& place,
                               const Backend* on) {
  const config::Run run = with_micro_batches(config.run, place.data_size, micro_batches);
  PlannedStep step{.sequences = micro_batches * run.training().micro_batch()};
  OpCosts ops;
  const auto observe = [&](Backend& planner) {
    return make_observed_backend(
        planner, [&](std::string_view op, const OpCost& cost, const std::function<void()>& run_op) {
          ops.try_emplace(std::string(op)).first->second += cost;
          run_op();
        });
  };
  const auto traffic = std::make_shared<Traffic>();
  PlannedRank rank(run, config.model, place, on, observe, traffic);
  ops.clear();  // what the state began with
  rank.step();
  step.sent = traffic->by_purpose();
  step.ops = ops;
  rank.evaluate();
  step.memory = rank.memory();
  return step;
}

PlannedStep plan_step(const RunConfig& config, const Mesh& place, const Backend* on) {
  PlannedStep step = plan_micro_batches(config, 1, place, on);
  const int64_t share = sequences_of(place, config.run.training().batch());
  if (share == step.sequences) return step;

  // All micro-batches take the same memory, and add the same to what a step does anyhow.
  const PlannedStep two = plan_micro_batches(config, 2, place, on);
  const double more = static_cast<double>(share - step.sequences) /
                      static_cast<double>(two.sequences - step.sequences);
  step.sequences = share;
  for (auto& [purpose, sum] : step.sent) {
    const Traffic::Sum& after_two = two.sent.at(purpose);
    sum.bytes = go_on(sum.bytes, after_two.bytes, more);
    sum.operations = go_on(sum.operations, after_two.operations, more);
  }
  for (auto& [op, cost] : step.ops) {
    const OpCost& after_two = two.ops.at(op);
    cost.flops = go_on(cost.flops, after_two.flops, more);
    cost.bytes = go_on(cost.bytes, after_two.bytes, more);
  }
  return step;
}

}  // namespace reformer
