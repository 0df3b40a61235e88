#include "launch/check_device.h"

#include <chrono>
#include <functional>
#include <memory>

#include <fmt/format.h>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/observed_backend.h"
#include "launch/check_runner.h"
#include "launch/device.h"
#include "launch/device_report.h"
#include "launch/exit_codes.h"
#include "launch/output_file.h"
#include "trainer/checks/check_model.h"
#include "trainer/checks/device_checks.h"

namespace reformer {
namespace {

constexpr OpScale kSmallScale{
    .tokens = 200, .width = 64, .ff_width = 72, .head_dim = 32, .vocabulary = 50};

/// The model whose steps are timed: the width of a mid-sized model and the length that the trainer
/// is for.
constexpr const char* kTimedConfig = R"(
data { source: DUPLICATION length: 65536 symbols: 255 }
model {
  vocabulary: 256 width: 1024 ff_width: 4096 heads: 8 layers: 3
  attention_pattern: [LSH, LOCAL, LSH] lsh { rounds: 4 chunk_length: 128 } local { chunk_length: 128 }
}
training { batch: 1 }
execution { leaf_tokens: 8192 }
)";

RunConfig timed_config(bool small) {
  if (small) return check_config();
  RunConfig config = parse_config(kTimedConfig, "the model that is timed", {});
  config.model.compute_dtype = DType::kBFloat16;
  return config;
}

RunConfig trained_config(bool small) {
  if (small) return check_config({"training.steps=2", "data.length=70"});
  return check_config({"training.steps=20", "training.schedule.warmup=5", "data.length=1000",
                       "model.width=256", "model.ff_width=1024", "model.heads=4"});
}

// H100 SXM, as published: HBM3, and dense BFloat16 products.
constexpr DevicePeaks kH100{.bytes_per_second = 3.35e12, .flops_per_second = 989e12};

}  // namespace

int print_floors(const CheckDeviceOptions& options) {
  const std::unique_ptr<Backend> planner = make_cuda_planner();
  fmt::print(
      "Expected, not measured: one training step, {:.2f} TB/s of memory and {:.0f} TFLOP/s.\n\n{}",
      1e-12 * kH100.bytes_per_second, 1e-12 * kH100.flops_per_second,
      floors_table(count_ops(timed_config(options.small), *planner), kH100));
  return kExitOk;
}

int check_device(const CheckDeviceOptions& options, const RankPlace& place) {
  const BackendMaker make_device = [&] { return make_cuda_backend_of_rank(place.world); };
  const std::unique_ptr<Backend> device = make_device();
  const std::unique_ptr<Backend> cpu = make_cpu_backend();

  DeviceReport report{.device = device->description(),
                      .numeric_identity = device->numeric_identity(),
                      .peaks = device->peaks()};
  CheckRunner checks(place);
  checks.say(fmt::format("{}\n", report.device));
  checks.run([&] {
    report.comparisons = compare_ops(*cpu, make_device, options.small ? kSmallScale : OpScale{});
    return summary_of(report.comparisons);
  });
  if (!options.small) checks.run([&] { return check_gradients(*device); });
  checks.run([&] { return check_reversibility(*device); });
  if (!options.small) checks.run([&] { return check_decoding(*device); });
  for (const DType compute : {DType::kFloat32, DType::kBFloat16}) {
    checks.run(
        [&] { return check_training(trained_config(options.small), *cpu, *device, compute); });
  }
  checks.run([&] { return check_memory(trained_config(options.small), make_device); });

  if (place.communicator.size() > 1) {
    const std::unique_ptr<Communicator> ranks =
        make_device_communicator(place, *device, std::chrono::minutes(1));
    // NCCL follows the stream of this very device.
    const auto run = [](std::string_view, const OpCost&, const std::function<void()>& op) { op(); };
    checks.run(
        [&] { return check_ranks(*ranks, [&] { return make_observed_backend(*device, run); }); });
  }

  report.times = time_ops(timed_config(options.small), *device);
  checks.say("\n" + times_table(report.times, report.peaks));
  report.checks = checks.results();
  if (!options.json.empty() && place.communicator.rank() == 0) {
    write_file(options.json, to_json(report));
  }
  return checks.exit_code();
}

}  // namespace reformer
