// Which device a rank computes on.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "launch/job.h"
#include "trainer/config/config.h"

namespace reformer {

/// What the CPU backend, or the GPU that a rank has to itself, is chosen by.
struct DevicePlace {
  int threads = 0;      // of the CPU backend; 0: one for each core
  int local_rank = 0;   // among the ranks on this machine: the number of its GPU
  int local_ranks = 1;  // on this machine
};

/// The backend that execution.device asks for. Writes into `config` what it leaves to the device:
/// execution.compute, and with it the dtype of the model's activations. Throws DeviceError when
/// there is no such device, when two ranks would have to share a GPU, or when the device does not
/// compute in execution.compute.
std::unique_ptr<Backend> make_backend(RunConfig& config, const DevicePlace& place);

}  // namespace reformer
