#include "kernels/cuda/cuda_backend.h"
#include "kernels/mirrored_backend.h"
#include "tests/kernels/backend_under_test.h"

namespace reformer::testing {

std::unique_ptr<Backend> make_backend_under_test(int) {
  return make_mirrored_backend(make_cuda_backend(), activations_under_test());
}

DType activations_under_test() {
  return DType::kBFloat16;
}

bool is_device_under_test() {
  return true;
}

}  // namespace reformer::testing
