#include "launch/plan_measure.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "comm/self.h"
#include "kernels/core/errors.h"
#include "launch/device.h"
#include "launch/output_file.h"
#include "trainer/agreement.h"
#include "trainer/derive_mesh.h"
#include "trainer/memory_plan.h"
#include "trainer/replay/calibration.h"
#include "trainer/replay/planned_log.h"
#include "trainer/replay/replay.h"

namespace reformer {
namespace {

using replay::Machine;

/// What rank 0 prints, at once: a step may take minutes.
class Speaker {
 public:
  explicit Speaker(const Communicator& world) : speaks_(world.rank() == 0) {}

  void say(const std::string& text) const {
    if (!speaks_) return;
    fmt::print("{}\n", text);
    std::fflush(stdout);
  }

 private:
  bool speaks_;
};

/// Refuses trainings that do not fit into memory side by side.
void require_memory(const std::vector<MemoryPlan>& plans, const RankPlace& place,
                    const Backend& backend) {
  MemoryPlan both;
  for (const MemoryPlan& plan : plans) {
    both.arena_bytes += plan.arena_bytes;
    both.workspace_bytes = std::max(both.workspace_bytes, plan.workspace_bytes);
    for (size_t use = 0; use < plan.by_use.size(); ++use) both.by_use[use] += plan.by_use[use];
  }
  const std::string complaint = first_complaint(
      place.communicator, complaint_about_memory(both, place.local_ranks, &backend), "memory");
  if (!complaint.empty()) throw DeviceError(complaint);
}

std::string row(const std::string& name, double predicted, double measured) {
  return fmt::format("{:<24}{:>12.4f}{:>12.4f}{:>12.3f}\n", name, predicted, measured,
                     predicted / measured);
}

/// The step of all ranks, as the machine that one rank found has it, beside what they took.
std::string comparison(int ranks, const StepTime& predicted, const MeasuredStep& one,
                       const MeasuredStep& all) {
  const double ops = seconds_of_ops(all.log);
  std::string text = fmt::format("{:<24}{:>12}{:>12}{:>12}\n", fmt::format("{} ranks", ranks),
                                 "predicted", "measured", "ratio");
  text += row("step, s", predicted.seconds, all.seconds);
  text += row("  of which ops", predicted.compute, ops);
  text += row("  waits and the rest", predicted.seconds - predicted.compute, all.seconds - ops);
  text += row("times as fast as one", one.seconds / predicted.seconds, one.seconds / all.seconds);
  return text;
}

Machine machine_here(const MeasuredStep& one, const RankDevice& device, const RunConfig& config) {
  const Backend& backend = *device.backend;
  Machine machine = machine_of_ops(one);
  machine.set_name(backend.description());
  machine.set_activations(config.model.compute_dtype == DType::kBFloat16 ? Machine::BFLOAT16
                                                                         : Machine::FLOAT32);
  machine.set_ranks_per_node(device.ranks.size());
  machine.set_collectives(backend.stream() == nullptr ? Machine::PAIRS : Machine::RINGS);
  return machine;
}

}  // namespace

void measure_machine(const MeasureArguments& arguments, RunConfig config, const RankPlace& place) {
  Communicator& world = place.communicator;
  if (place.world != nullptr && place.local_ranks != world.size()) {
    throw ConfigError("--measure: takes the ranks of one machine, legal: mpirun on one machine");
  }
  if (world.rank() == 0) require_writable(arguments.machine);
  const Speaker speaker(world);
  const RankDevice device = make_rank_device(config, place);
  Backend& backend = *device.backend;
  const Mesh mesh = derive_mesh(config, backend, world.rank(), world.size());
  const bool several = world.size() > 1;
  std::vector<MemoryPlan> plans{plan_training(config, {}, &backend)};
  if (several) plans.push_back(plan_training(config, mesh, &backend));
  require_memory(plans, place, backend);

  speaker.say(fmt::format("{}; {} × {} tokens a step; {}", backend.description(),
                          config.run.training().batch(), config.run.data().length(),
                          describe(mesh, config.run.data().length(), config.model.leaf_tokens)));
  if (several) {
    speaker.say(
        fmt::format("alone: {} ranks side by side, each takes whole steps; together: they "
                    "share them",
                    world.size()));
  }
  SelfCommunicator self;
  const RankGroups by_itself = data_parallel(self);
  const RankGroups shared = split_by_mesh(device.ranks, mesh);
  TimedTraining alone(config, by_itself, device.ranks, backend);
  std::optional<TimedTraining> together;
  if (several) together.emplace(config, shared, device.ranks, backend);
  for (int step = 0; step <= arguments.steps; ++step) {
    std::string line =
        step == 0 ? "to warm up:" : fmt::format("step {} of {}:", step, arguments.steps);
    line += fmt::format(" alone {:.3f} s", alone.step());
    if (several) line += fmt::format(", together {:.3f} s", together->step());
    speaker.say(line);
  }

  const MeasuredStep one = alone.median();
  Machine machine = machine_here(one, device, config);
  speaker.say(fmt::format("\nalone, median: {:.4f} s, of which ops {:.4f} s", one.seconds,
                          seconds_of_ops(one.log)));
  if (several) {
    const replay::Link link = measure_link(device.ranks, backend, machine.collectives());
    *machine.mutable_within_node() = link;
    speaker.say(fmt::format("between ranks: {:.1f} us a message, {:.2f} GB/s\n",
                            1e6 * link.latency_seconds(), 1e-9 * link.bytes_per_second()));
    const StepTime predicted =
        replay_step(plan_log(config, busiest_place(config, mesh), backend).log, machine);
    speaker.say(comparison(world.size(), predicted, one, together->median()));
  }
  if (world.rank() == 0) write_file(arguments.machine, to_text(machine));
  speaker.say(fmt::format("wrote {}", arguments.machine));
}

}  // namespace reformer
