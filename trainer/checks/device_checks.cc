#include "trainer/checks/device_checks.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "comm/self.h"
#include "kernels/mirrored_backend.h"
#include "kernels/observed_backend.h"
#include "trainer/checks/short_training.h"
#include "trainer/memory_plan.h"

namespace reformer {
namespace {

// Of the loss of a step, nats. A token that falls into another bucket moves it by less.
constexpr double kFloat32Losses = 1e-3;
constexpr double kBFloat16Losses = 0.03;

RunConfig computing_in(RunConfig config, DType compute) {
  config.model.compute_dtype = compute;
  return config;
}

void add_comparisons(Backend& cpu, Backend& device, DType activations, const OpScale& scale,
                     std::vector<OpComparison>& comparisons) {
  for (const OpCase& one : op_cases(scale)) {
    const std::vector<Tensor> expected = one.run(cpu);
    const std::vector<Tensor> results = one.run(device);
    OpComparison comparison{
        .op = one.name,
        .activations = activations,
        .bound = activations == DType::kFloat32 ? one.float32_bound : one.bfloat16_bound};
    for (size_t i = 0; i < results.size(); ++i) {
      comparison.error = std::max(comparison.error, error_of(results[i], expected[i]));
    }
    comparisons.push_back(comparison);
  }
}

OpTime& entry_of(std::string_view op, std::vector<OpTime>& times) {
  const auto found =
      std::find_if(times.begin(), times.end(), [&](const OpTime& time) { return time.op == op; });
  if (found != times.end()) return *found;
  times.push_back({.op = std::string(op)});
  return times.back();
}

}  // namespace

std::vector<OpComparison> compare_ops(Backend& cpu, const BackendMaker& make_device,
                                      const OpScale& scale) {
  std::vector<OpComparison> comparisons;
  for (const DType activations : {DType::kFloat32, DType::kBFloat16}) {
    std::unique_ptr<Backend> device = make_device();
    if (!device->computes_in(activations)) continue;
    const auto mirrored = make_mirrored_backend(std::move(device), activations);
    add_comparisons(cpu, *mirrored, activations, scale, comparisons);
  }
  return comparisons;
}

CheckResult summary_of(const std::vector<OpComparison>& comparisons) {
  std::string failed;
  double closest = 0;  // error as a share of its bound
  for (const OpComparison& comparison : comparisons) {
    if (!comparison.holds()) {
      failed += fmt::format("; {} in {}: {:.2g}, allowed {:.2g}", comparison.op,
                            name_of(comparison.activations), comparison.error, comparison.bound);
    } else if (comparison.bound > 0) {
      closest = std::max(closest, comparison.error / comparison.bound);
    }
  }
  return {.name = "every op equals that of the CPU",
          .holds = failed.empty(),
          .detail = fmt::format("{} comparisons, the others within {:.0f}% of what is allowed{}",
                                comparisons.size(), 100 * closest, failed)};
}

CheckResult check_training(const RunConfig& config, Backend& cpu, Backend& device, DType compute) {
  SelfCommunicator alone;
  const RankGroups ranks = data_parallel(alone);
  const std::vector<double> expected =
      train_shortly(computing_in(config, DType::kFloat32), ranks, cpu).losses;
  const std::vector<double> losses =
      train_shortly(computing_in(config, compute), ranks, device).losses;
  const double allowed = compute == DType::kFloat32 ? kFloat32Losses : kBFloat16Losses;
  double worst = 0;
  for (size_t i = 0; i < losses.size(); ++i) {
    const double difference = std::abs(losses[i] - expected[i]);
    worst = std::isfinite(difference) ? std::max(worst, difference) : HUGE_VAL;
  }
  return {.name = fmt::format("training in {} follows the CPU", name_of(compute)),
          .holds = worst <= allowed,
          .detail = fmt::format("{} steps, losses {:.4f} to {:.4f} nats, differ by at most {:.2g}, "
                                "allowed {:.2g}",
                                losses.size(), losses.front(), losses.back(), worst, allowed)};
}

CheckResult check_memory(const RunConfig& config, const BackendMaker& make_device) {
  const std::unique_ptr<Backend> device = make_device();
  const MemoryPlan plan = plan_training(config, {}, device.get());
  SelfCommunicator alone;
  const RankGroups ranks = data_parallel(alone);
  const size_t arena_bytes = train_shortly(config, ranks, *device).arena_bytes;
  const size_t workspace_bytes = device->workspace_peak();
  // The plan holds one evaluation too, which may take more than training does.
  return {.name = "training takes the memory that was planned",
          .holds = arena_bytes <= plan.arena_bytes && workspace_bytes <= plan.workspace_bytes,
          .detail = fmt::format("arena {} of {}, workspace {} of {}", format_bytes(arena_bytes),
                                format_bytes(plan.arena_bytes), format_bytes(workspace_bytes),
                                format_bytes(plan.workspace_bytes))};
}

std::vector<OpTime> time_ops(const RunConfig& config, Backend& device) {
  std::vector<OpTime> times;
  const auto observed = make_observed_backend(
      device, [&](std::string_view op, const OpCost& cost, const std::function<void()>& run) {
        device.synchronize();
        const auto start = std::chrono::steady_clock::now();
        run();
        device.synchronize();
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        OpTime& time = entry_of(op, times);
        ++time.calls;
        time.seconds += seconds.count();
        time.cost += cost;
      });
  const std::unique_ptr<Arena> arena = take(plan_training(config, {}, &device), device);
  SelfCommunicator alone;
  const RankGroups ranks = data_parallel(alone);
  ShortRun training(config, ranks, *observed, *arena);
  training.step(1);
  times.clear();
  training.step(2);
  std::sort(times.begin(), times.end(),
            [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return times;
}

std::vector<OpTime> count_ops(const RunConfig& config, const Backend& like) {
  std::vector<OpTime> counts;
  const std::unique_ptr<Backend> planner = like.make_planner();
  const auto observed = make_observed_backend(
      *planner, [&](std::string_view op, const OpCost& cost, const std::function<void()>& run) {
        run();
        OpTime& count = entry_of(op, counts);
        ++count.calls;
        count.cost += cost;
      });
  const std::unique_ptr<Arena> arena = planner->make_arena(std::numeric_limits<size_t>::max() / 2);
  SelfCommunicator alone;
  const RankGroups ranks = data_parallel(alone);
  ShortRun training(config, ranks, *observed, *arena);
  counts.clear();
  training.step(1);
  return counts;
}

}  // namespace reformer
