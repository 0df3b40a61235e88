#include "launch/device.h"

#include <fmt/format.h>

#include "comm/nccl.h"
#include "comm/self.h"
#include "kernels/core/errors.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "launch/rank_cores.h"

namespace reformer {
namespace {

using config::Execution;

bool wants_cuda(Execution::Device device) {
  if (device == Execution::AUTO) return cuda_status().devices > 0;
  return device == Execution::CUDA;
}

/// Settles BY_DEVICE.
Execution::Compute compute_on(const Backend& backend, Execution::Compute asked) {
  if (asked == Execution::BY_DEVICE) {
    return backend.computes_in(DType::kBFloat16) ? Execution::BFLOAT16 : Execution::FLOAT32;
  }
  if (asked == Execution::BFLOAT16 && !backend.computes_in(DType::kBFloat16)) {
    throw DeviceError(fmt::format(
        "execution.compute is BFLOAT16, which needs a CUDA device ({}); FLOAT32 computes here",
        cuda_status().explanation));
  }
  return asked;
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend_of_rank(MpiWorld* world) {
  // Where only some ranks have one, all have to hear of it.
  return make_cuda_backend(world == nullptr ? 0 : choose_device(*world));
}

std::unique_ptr<Backend> make_backend(RunConfig& config, int threads, MpiWorld* world) {
  Execution& execution = *config.run.mutable_execution();
  std::unique_ptr<Backend> backend =
      wants_cuda(execution.device()) ? make_cuda_backend_of_rank(world) : make_cpu_backend(threads);
  execution.set_compute(compute_on(*backend, execution.compute()));
  config.model.compute_dtype =
      execution.compute() == Execution::BFLOAT16 ? DType::kBFloat16 : DType::kFloat32;
  return backend;
}

std::unique_ptr<Communicator> make_device_communicator(const RankPlace& place,
                                                       const Backend& backend,
                                                       std::chrono::milliseconds timeout) {
  if (backend.stream() == nullptr || place.world == nullptr) return nullptr;
  // A launcher started one rank: MPI would touch what lies on its GPU, and it needs no NCCL.
  if (place.communicator.size() == 1) {
    return std::make_unique<SelfCommunicator>(CommunicatorSetup{.timeout = timeout});
  }
  return make_nccl_communicator(*place.world, backend.stream(), {.timeout = timeout});
}

RankDevice make_rank_device(RunConfig& config, const RankPlace& place) {
  const config::Execution& execution = config.run.execution();
  const std::chrono::seconds timeout(execution.timeout_seconds());
  place.communicator.set_timeout(timeout);
  const int share = threads_of_rank(place.communicator, place.host);
  const int threads = execution.threads() > 0 ? static_cast<int>(execution.threads()) : share;
  std::unique_ptr<Backend> backend = make_backend(config, threads, place.world);
  std::unique_ptr<Communicator> between = make_device_communicator(place, *backend, timeout);
  Communicator& ranks = between ? *between : place.communicator;
  return {.backend = std::move(backend), .between_devices = std::move(between), .ranks = ranks};
}

}  // namespace reformer
