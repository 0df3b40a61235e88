#include "kernels/cpu/cpu_backend.h"
#include "tests/kernels/backend_under_test.h"

namespace reformer::testing {

std::unique_ptr<Backend> make_backend_under_test(int threads) {
  return make_cpu_backend(threads);
}

DType activations_under_test() {
  return DType::kFloat32;
}

bool is_device_under_test() {
  return false;
}

}  // namespace reformer::testing
