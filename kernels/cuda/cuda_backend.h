// The CUDA backend: cuBLASLt and our own kernels on one device, in the order of one stream. Builds
// without CUDA have the same symbols (no_cuda.cc).
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "kernels/backend.h"

namespace reformer {

struct CudaOptions {
  int device = 0;
  /// Memory of the ops themselves, besides the arena. 0: grows whenever an op needs more than any
  /// before it, which waits for the device.
  size_t workspace_bytes = 0;
};

/// Throws DeviceError when the device is not there or cannot run this program.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options = {});

/// Computes nothing and needs no device, like make_plan_backend, but counts the workspace of every
/// op that it is asked for: the `workspace_bytes` of a backend that will be asked for the same.
class CudaPlan {
 public:
  virtual ~CudaPlan() = default;
  virtual Backend& backend() = 0;
  virtual size_t workspace_bytes() const = 0;
};
/// Throws DeviceError in builds without CUDA.
std::unique_ptr<CudaPlan> make_cuda_plan();

/// What this build and this machine have.
struct CudaStatus {
  bool built = false;       // this program has the CUDA backend
  int devices = 0;          // that can be used
  std::string explanation;  // one line: the version and devices, or why there are none
};
CudaStatus cuda_status();

}  // namespace reformer
