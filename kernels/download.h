// Activations on the host.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "kernels/core/bfloat16.h"

namespace reformer {

/// Copies an activation of either dtype to `host` as floats. Waits for earlier ops.
inline void download_floats(Backend& backend, const View& activation, float* host) {
  if (activation.dtype() == DType::kFloat32) {
    backend.download(activation, host);
    return;
  }
  CHECK_EQ(activation.dtype(), DType::kBFloat16);
  std::vector<BFloat16> values(static_cast<size_t>(activation.elements()));
  backend.download(activation, values.data());
  for (size_t i = 0; i < values.size(); ++i) host[i] = to_float(values[i]);
}

}  // namespace reformer
