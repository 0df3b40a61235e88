// The backend that a test of the ops is about. One list of cases serves all: its program is built
// once for each, linked with backend_under_test_cpu.cc, …_cuda.cc or …_cuda_bfloat16.cc.
#pragma once

#include <algorithm>
#include <memory>

#include "kernels/backend.h"
#include "kernels/core/bfloat16.h"
#include "tests/kernels/op_testing.h"

namespace reformer::testing {

/// Takes views in host memory. `threads` matter to the CPU alone.
std::unique_ptr<Backend> make_backend_under_test(int threads = 1);

/// What activations are rounded to: Float32 or BFloat16.
DType activations_under_test();

/// A device splits its work into smaller pieces than the CPU, and may be interpreted.
bool is_device_under_test();

/// The length that has several pieces of work.
inline int64_t length_under_test(int64_t cpu, int64_t device) {
  return is_device_under_test() ? device : cpu;
}

/// The error that is allowed: one for each dtype of activations.
inline double bound(double float32, double bfloat16) {
  return activations_under_test() == DType::kFloat32 ? float32 : bfloat16;
}

/// The nearest value that activations can hold.
inline float to_activation(float value) {
  return activations_under_test() == DType::kFloat32 ? value : to_float(to_bfloat16(value));
}

/// Makes tensors that activations can hold exactly, so that an error is the op's own.
class ActivationRandom : public Random {
 public:
  using Random::Random;

  Tensor normal(const Shape& shape, float deviation = 1.0f) {
    Tensor tensor = Random::normal(shape, deviation);
    float* const values = tensor.data<float>();
    std::transform(values, values + tensor.elements(), values, to_activation);
    return tensor;
  }
};

}  // namespace reformer::testing
