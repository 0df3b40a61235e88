#include "trainer/memory_plan.h"

#include <algorithm>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "comm/self.h"
#include "kernels/core/errors.h"
#include "kernels/plan_backend.h"
#include "trainer/evaluation.h"
#include "trainer/process_memory.h"
#include "trainer/step.h"

namespace reformer {
namespace {

/// Batches of the right shape with nothing in them.
class BlankDataset final : public Dataset {
 public:
  explicit BlankDataset(const config::Run& run)
      : length_(run.data().length()),
        sequences_(run.evaluation().micro_batch() > 0 ? run.evaluation().micro_batch()
                                                      : micro_batch_of(run.training())) {
    const int64_t selected = run.evaluation().sequences();
    if (selected > 0) sequences_ = std::min(sequences_, selected);
  }

  TokenBatch training_batch(int64_t, int64_t, int64_t samples) const override {
    return blank(samples);
  }
  int64_t validation_sequences() const override { return sequences_; }
  TokenBatch validation_batch(int64_t, int64_t samples) const override { return blank(samples); }
  std::string description() const override { return "blank"; }

 private:
  TokenBatch blank(int64_t samples) const {
    return {.tokens = Tensor(DType::kInt32, {samples, length_}),
            .labels = Tensor(DType::kInt32, {samples, length_}),
            .valid_labels = samples * length_};
  }

  int64_t length_;
  int64_t sequences_;
};

MemoryPlan plan(const RunConfig& config, bool training) {
  // Every micro-batch takes the same memory, so one is enough.
  config::Run run = config.run;
  run.mutable_training()->set_batch(micro_batch_of(run.training()));
  const std::unique_ptr<Backend> backend = make_plan_backend();
  const std::unique_ptr<Arena> arena = backend->make_arena(std::numeric_limits<size_t>::max() / 2);
  const BlankDataset dataset(run);
  SelfCommunicator communicator;
  TrainingState state(run, config.model, *backend, *arena);
  if (training) {
    SkipGuard guard(run.training());
    train_step(run, dataset, communicator, state, guard, 1);
  }
  evaluate(run, dataset, state);
  return {.arena_bytes = arena->peak(), .by_use = arena->usage_at_peak()};
}

}  // namespace

MemoryPlan plan_training(const RunConfig& config) {
  return plan(config, /*training=*/true);
}
MemoryPlan plan_evaluation(const RunConfig& config) {
  return plan(config, /*training=*/false);
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
  return text;
}

void require_available(const MemoryPlan& plan) {
  const std::optional<size_t> available = available_memory();
  if (!available || plan.arena_bytes <= *available) return;
  throw DeviceError(
      fmt::format("this run needs {} of memory and {} are available; lower training.micro_batch, "
                  "data.length or "
                  "model.width{}",
                  format_bytes(plan.arena_bytes), format_bytes(*available),
                  plan.by_use[static_cast<size_t>(MemoryUse::kStored)] > 0
                      ? ", or set execution.activations to RECONSTRUCT"
                      : ""));
}

std::string format_bytes(size_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (value >= 0x1p30) return fmt::format("{:.2f} GiB", value * 0x1p-30);
  if (value >= 0x1p20) return fmt::format("{:.1f} MiB", value * 0x1p-20);
  if (value >= 0x1p10) return fmt::format("{:.1f} KiB", value * 0x1p-10);
  return fmt::format("{} B", bytes);
}

}  // namespace reformer
