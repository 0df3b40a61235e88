// Which device a rank computes on.
#pragma once

#include <chrono>
#include <memory>

#include "kernels/backend.h"
#include "launch/job.h"
#include "trainer/config/config.h"

namespace reformer {

/// The backend that execution.device asks for; one on the CPU has `threads` threads, 0 being one
/// for each core. Writes into `config` what it leaves to the device: execution.compute, and with it
/// the dtype of the model's activations. `world` is that of a RankPlace; each of its ranks gets a
/// GPU to itself. Throws DeviceError when there is no such device, when two ranks would have to
/// share a GPU, or when the device does not compute in execution.compute. Collective.
std::unique_ptr<Backend> make_backend(RunConfig& config, int threads, MpiWorld* world = nullptr);

/// The GPU of this rank. Throws DeviceError when there is none for it. Collective.
std::unique_ptr<Backend> make_cuda_backend_of_rank(MpiWorld* world);

/// The ranks of `place`, with NCCL for what lies on the GPUs that they compute on; null where
/// place.communicator itself serves: on CPUs, and for a rank that no launcher started. Collective.
std::unique_ptr<Communicator> make_device_communicator(const RankPlace& place,
                                                       const Backend& backend,
                                                       std::chrono::milliseconds timeout);

/// What a rank computes with, and how it reaches the others.
struct RankDevice {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Communicator> between_devices;  // or null
  Communicator& ranks;                            // the former, or that of the RankPlace
};

/// As `execution` asks: device, threads (0: this rank's share of the cores) and timeout, the last
/// for place.communicator as well. Writes into `config` as make_backend does. Collective.
RankDevice make_rank_device(RunConfig& config, const RankPlace& place);

}  // namespace reformer
