// `reformer check --device cuda`.
#pragma once

#include <string>

#include "launch/job.h"

namespace reformer {

struct CheckDeviceOptions {
  bool small = false;  // problems of a size that an interpreter of kernels can run
  std::string json;    // file for the results; empty: none
};

/// Checks the GPU of this rank against the CPU and times its kernels; returns an exit code. Throws
/// DeviceError when there is no GPU.
int check_device(const CheckDeviceOptions& options, const RankPlace& place);

/// Prints the shortest times that the ops timed by check_device may take on an H100. Needs no GPU.
/// Throws DeviceError in builds without CUDA.
int print_floors(const CheckDeviceOptions& options);

}  // namespace reformer
