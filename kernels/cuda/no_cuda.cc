// The CUDA backend of builds without CUDA.
#include "kernels/core/errors.h"
#include "kernels/cuda/cuda_backend.h"

namespace reformer {
namespace {

constexpr const char* kExplanation =
    "this program was built without CUDA; build it where nvcc 12.8 or newer is found, with "
    "-DREFORMER_CUDA=ON";

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int) {
  throw DeviceError(kExplanation);
}

std::unique_ptr<Backend> make_cuda_planner() {
  throw DeviceError(kExplanation);
}

CudaStatus cuda_status() {
  return {.built = false, .devices = 0, .explanation = kExplanation};
}

}  // namespace reformer
