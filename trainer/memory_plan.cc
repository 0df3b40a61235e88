#include "trainer/memory_plan.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "comm/plan.h"
#include "comm/rank_groups.h"
#include "trainer/evaluation/round_sweep.h"
#include "trainer/model/decoder.h"
#include "trainer/model/rotations.h"
#include "trainer/planned_step.h"
#include "trainer/planning.h"
#include "trainer/process_memory.h"

namespace reformer {
namespace {

/// Of the device, or of the machine if the backend has no memory of its own.
std::optional<size_t> available_to(const Backend* on) {
  if (on != nullptr && on->free_device_memory()) return on->free_device_memory();
  return available_memory();
}

/// True also where the machine does not tell.
bool is_available(size_t bytes, const Backend* on) {
  const std::optional<size_t> available = available_to(on);
  return !available || bytes <= *available;
}

/// Empty if `needed` bytes are available.
std::string complaint(size_t needed, const Backend* on, const std::string& whom,
                      const std::string& advice) {
  if (is_available(needed, on)) return "";
  return fmt::format("this run needs {} of memory{} and {} are available; {}", format_bytes(needed),
                     whom, format_bytes(available_to(on).value_or(0)), advice);
}

/// What `body` takes with a decoder, that included.
MemoryPlan plan_decoding(const ModelSpec& spec, int64_t sequences, int64_t capacity,
                         const Backend* on, const std::function<void(Decoder&)>& body) {
  const std::unique_ptr<Backend> backend = planner_for(on);
  const std::unique_ptr<Arena> arena = backend->make_arena(kEndlessBytes);
  const std::vector<Tensor> rotations = make_rotations(spec, 0, 0);
  Decoder decoder({.backend = *backend,
                   .arena = *arena,
                   .spec = spec,
                   .parameters = arena->allocate(DType::kFloat32, {flat_elements(spec)},
                                                 MemoryUse::kParameters),
                   .rotations = rotations,
                   .sequences = sequences,
                   .capacity = capacity});
  body(decoder);
  return plan_of(*arena, *backend);
}

}  // namespace

MemoryPlan plan_training(const RunConfig& config, const Mesh& mesh, const Backend* on) {
  return plan_micro_batches(config, 1, mesh, on).memory;
}

MemoryPlan plan_evaluation(const RunConfig& config, const PlannedEvaluation& evaluation,
                           const Backend* on) {
  const Mesh& mesh = evaluation.mesh;
  const config::Run run = with_micro_batches(config.run, mesh.data_size, 1);
  const std::unique_ptr<Backend> backend = planner_for(on);
  const std::unique_ptr<Arena> arena = backend->make_arena(kEndlessBytes);
  const BlankDataset dataset(run, mesh.data_size);
  PlanCommunicator world(mesh.rank(), mesh.size());
  const RankGroups ranks = plan_groups(world, mesh);
  ModelState state(config.model, *backend, *arena);
  evaluate(run, dataset, ranks, state);
  sweep_rounds(run, dataset, ranks, state, evaluation.rounds, 1);
  if (evaluation.decoded) {
    const std::vector<Tensor> rotations = make_rotations(config.model, 0, 0);
    const Decoder::Options options{.backend = *backend,
                                   .arena = *arena,
                                   .spec = config.model,
                                   .parameters = state.parameters,
                                   .rotations = rotations,
                                   .sequences = 1,
                                   .capacity = run.data().length()};
    const std::vector<int32_t> token{0};
    // Two of them, since the prompt of a plan leaves no buckets that a step could look into.
    {
      const Arena::Mark mark(*arena);
      Decoder(options).step(token, token);
    }
    const Arena::Mark mark(*arena);
    Decoder(options).prefill(0, token);
  }
  return plan_of(*arena, *backend);
}

MemoryPlan plan_generation(const ModelSpec& spec, int64_t sequences, int64_t prompt_tokens,
                           int64_t capacity, const Backend* on) {
  // First from one text and two what the caches of all take; more only if that fits.
  const size_t one = plan_decoding(spec, 1, capacity, on, [](Decoder&) {}).arena_bytes;
  const size_t two = plan_decoding(spec, 2, capacity, on, [](Decoder&) {}).arena_bytes;
  MemoryPlan caches{.arena_bytes = one + static_cast<size_t>(sequences - 1) * (two - one)};
  for (const LayerSpec& layer : spec.layers) {
    caches.host_bytes += static_cast<size_t>(sequences) * SortedTokens::bytes(layer, capacity);
  }
  if (!is_available(caches.arena_bytes + caches.host_bytes, on)) return caches;

  const MemoryPlan prompt = plan_decoding(spec, sequences, capacity, on, [&](Decoder& decoder) {
    decoder.prefill(0, std::vector<int32_t>(static_cast<size_t>(prompt_tokens)));
  });
  const MemoryPlan step = plan_decoding(spec, sequences, capacity, on, [&](Decoder& decoder) {
    std::vector<int32_t> all(static_cast<size_t>(sequences));
    std::iota(all.begin(), all.end(), 0);
    decoder.step(all, std::vector<int32_t>(all.size()));
  });
  MemoryPlan plan = prompt.arena_bytes > step.arena_bytes ? prompt : step;
  plan.host_bytes = caches.host_bytes;
  plan.workspace_bytes = std::max(prompt.workspace_bytes, step.workspace_bytes);
  return plan;
}

std::unique_ptr<Arena> take(const MemoryPlan& plan, Backend& backend) {
  backend.reserve_workspace(plan.workspace_bytes);
  return backend.make_arena(plan.arena_bytes);
}

std::string describe(const MemoryPlan& plan) {
  std::string text = fmt::format("{} planned:", format_bytes(plan.arena_bytes));
  const char* separator = " ";
  for (int use = 0; use < kMemoryUses; ++use) {
    const size_t bytes = plan.by_use[static_cast<size_t>(use)];
    if (bytes == 0) continue;
    text += fmt::format("{}{} {}", separator, name_of(static_cast<MemoryUse>(use)),
                        format_bytes(bytes));
    separator = ", ";
  }
  if (plan.workspace_bytes > 0) {
    text += fmt::format("; workspace of the kernels {}", format_bytes(plan.workspace_bytes));
  }
  return text;
}

std::string complaint_about_memory(const MemoryPlan& plan, int local_ranks, const Backend* on) {
  const bool has_device = on != nullptr && on->free_device_memory();
  const int sharing = has_device ? 1 : local_ranks;  // each rank has a device of its own
  std::string whose = has_device ? " on its device" : "";
  if (sharing > 1) whose = fmt::format(" for {} ranks on this machine", sharing);
  const bool stores = plan.by_use[static_cast<size_t>(MemoryUse::kStored)] > 0;
  return complaint((plan.arena_bytes + plan.workspace_bytes) * static_cast<size_t>(sharing), on,
                   whose,
                   fmt::format("lower training.micro_batch, data.length or model.width{}",
                               stores ? ", or set execution.activations to RECONSTRUCT" : ""));
}

std::string complaint_about_decoding_memory(const MemoryPlan& plan, const Backend* on) {
  return complaint(plan.arena_bytes + plan.workspace_bytes + plan.host_bytes, on, "",
                   "ask for fewer texts at a time, or for shorter ones");
}

std::string format_bytes(size_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (value >= 0x1p30) return fmt::format("{:.2f} GiB", value * 0x1p-30);
  if (value >= 0x1p20) return fmt::format("{:.1f} MiB", value * 0x1p-20);
  if (value >= 0x1p10) return fmt::format("{:.1f} KiB", value * 0x1p-10);
  return fmt::format("{} B", bytes);
}

}  // namespace reformer
