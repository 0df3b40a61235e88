// The CUDA backend: cuBLASLt and our own kernels on one device, in the order of one stream. Builds
// without CUDA have the same symbols (no_cuda.cc).
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace reformer {

/// On CUDA device number `device`. Throws DeviceError when that is not there or cannot run this
/// program.
std::unique_ptr<Backend> make_cuda_backend(int device = 0);

/// The planner of a CUDA backend; needs no device. Throws DeviceError in builds without CUDA.
std::unique_ptr<Backend> make_cuda_planner();

/// What this build and this machine have.
struct CudaStatus {
  bool built = false;       // this program has the CUDA backend
  int devices = 0;          // that can be used
  std::string explanation;  // one line: the version and devices, or why there are none
};
CudaStatus cuda_status();

}  // namespace reformer
