#include "trainer/replay/calibration.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "comm/buckets.h"
#include "kernels/core/check.h"
#include "trainer/memory_plan.h"

namespace reformer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double slowest(Communicator& ranks, double seconds) {
  const std::vector<int64_t> all = ranks.gather(std::llround(1e9 * seconds), "seconds");
  return 1e-9 * static_cast<double>(*std::max_element(all.begin(), all.end()));
}

/// What an op took in all calls.
struct OpTotal {
  OpCost cost{};
  double seconds = 0;

  OpTotal& operator+=(const OpTotal& other) {
    cost += other.cost;
    seconds += other.seconds;
    return *this;
  }
  bool has_arithmetic() const { return cost.flops > 0; }
  replay::Rate rate() const {
    replay::Rate rate;
    if (has_arithmetic()) {
      rate.set_flops_per_second(cost.flops / seconds);
    } else {
      rate.set_bytes_per_second(cost.bytes / seconds);
    }
    return rate;
  }
};

std::map<std::string, OpTotal> totals_by_op(const StepLog& log) {
  std::map<std::string, OpTotal> totals;
  for (const StepEvent& event : log.events) {
    const auto* const op = std::get_if<LoggedOp>(&event);
    if (op != nullptr) totals[op->op] += {.cost = op->cost, .seconds = op->seconds};
  }
  return totals;
}

void add_rate(replay::Machine& machine, const std::string& op, const OpTotal& total) {
  replay::OpRate& rate = *machine.add_op_rates();
  rate.set_op(op);
  *rate.mutable_rate() = total.rate();
}

/// Seconds of one call, after some that connect the ranks: the least of several, since a shared
/// machine may be busy otherwise.
double least_seconds(Communicator& ranks, Backend& backend, const std::function<void()>& call) {
  constexpr int kCalls = 20;
  double least = HUGE_VAL;
  for (int i = 0; i < kCalls; ++i) {
    ranks.barrier("begin together");
    const Clock::time_point begin = Clock::now();
    call();
    backend.synchronize();
    least = std::min(least, slowest(ranks, seconds_since(begin)));
  }
  return least;
}

}  // namespace

double seconds_of_ops(const StepLog& log) {
  double seconds = 0;
  for (const auto& [op, total] : totals_by_op(log)) seconds += total.seconds;
  return seconds;
}

TimedTraining::TimedTraining(const RunConfig& config, const RankGroups& ranks, Communicator& beside,
                             Backend& backend)
    : config_(config),
      ranks_(ranks),
      beside_(beside),
      backend_(backend),
      observed_(recorder_.record(backend)),
      arena_(take(plan_training(config, ranks.mesh, &backend), backend)),
      dataset_(make_dataset(config.run)),
      state_(config.run, config.model, *observed_, *arena_, ranks.mesh.rank(), ranks.mesh.size()),
      guard_(config.run.training()) {
  state_.initialize_parameters(config.run.training().seed());
}

double TimedTraining::step() {
  beside_.barrier("begin together");
  recorder_.take_log();
  const Clock::time_point begin = Clock::now();
  train_step(config_.run, *dataset_, ranks_, state_, guard_,
             static_cast<int64_t>(steps_.size()) + 1);
  backend_.synchronize();
  const double seconds = slowest(beside_, seconds_since(begin));
  steps_.push_back({.seconds = seconds, .log = recorder_.take_log()});
  return seconds;
}

MeasuredStep TimedTraining::median() const {
  CHECK_GE(steps_.size(), 2u);
  std::vector<const MeasuredStep*> order;
  for (const MeasuredStep& step : steps_) order.push_back(&step);
  order.erase(order.begin());
  const auto median = order.begin() + static_cast<int64_t>(order.size() / 2);
  std::nth_element(
      order.begin(), median, order.end(),
      [](const MeasuredStep* a, const MeasuredStep* b) { return a->seconds < b->seconds; });
  return **median;
}

replay::Machine machine_of_ops(const MeasuredStep& step) {
  replay::Machine machine;
  std::map<std::string, OpTotal> totals = totals_by_op(step.log);
  OpTotal arithmetic;
  OpTotal traffic;
  for (const auto& [op, total] : totals) {
    add_rate(machine, op, total);
    (total.has_arithmetic() ? arithmetic : traffic) += total;
  }
  *machine.mutable_rate() = traffic.rate();
  machine.mutable_rate()->MergeFrom(arithmetic.rate());
  for (const std::string pass : {"", "_backward"}) {
    const auto whole = totals.find("attention" + pass);
    const std::string part = "attention_part" + pass;
    if (whole != totals.end() && !totals.contains(part)) add_rate(machine, part, whole->second);
  }
  machine.set_step_seconds(std::max(0.0, step.seconds - arithmetic.seconds - traffic.seconds));
  return machine;
}

replay::Link measure_link(Communicator& ranks, Backend& backend,
                          replay::Machine::Collectives collectives) {
  constexpr int64_t kElements = int64_t{1} << 21;
  const std::unique_ptr<Arena> arena =
      backend.make_arena(static_cast<size_t>(kElements) * size_of(DType::kInt64) + (1 << 12));
  const View data = arena->allocate(DType::kInt64, {kElements}, MemoryUse::kBlock);
  backend.fill_zero(data);
  const std::vector<Slice> slices = even_slices(0, kElements, ranks.size());
  const Operation reduction{.kind = OperationKind::kReduceScatterSum,
                            .tag = "calibration",
                            .data = data,
                            .slices = slices};
  const OperationBytes bytes = bytes_of(reduction, ranks.rank(), ranks.size());

  // What the replay makes of a second of latency, and of a byte a second.
  replay::Machine unit;
  unit.set_ranks_per_node(ranks.size());
  unit.set_collectives(collectives);
  unit.mutable_within_node()->set_latency_seconds(1);
  unit.mutable_within_node()->set_bytes_per_second(HUGE_VAL);
  const GroupShape all{.size = ranks.size()};
  const double latencies_of_sum =
      seconds_of_collective(unit, OperationKind::kAllReduceSum, all, {});
  const double latencies_of_reduction = seconds_of_collective(unit, reduction.kind, all, bytes);
  unit.mutable_within_node()->set_latency_seconds(0);
  unit.mutable_within_node()->set_bytes_per_second(1);
  const double bytes_of_reduction = seconds_of_collective(unit, reduction.kind, all, bytes);

  const double sum =
      least_seconds(ranks, backend, [&] { ranks.all_reduce_sum(data.rows(0, 1), "calibration"); });
  const double whole =
      least_seconds(ranks, backend, [&] { ranks.reduce_scatter_sum(data, slices, "calibration"); });
  replay::Link link;
  link.set_latency_seconds(sum / latencies_of_sum);
  link.set_bytes_per_second(bytes_of_reduction /
                            (whole - latencies_of_reduction * link.latency_seconds()));
  return link;
}

}  // namespace reformer
