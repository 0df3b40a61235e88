// A device's backend behind views in host memory: every op copies its inputs to the device, runs
// there, and copies its results back. For comparing backends on the same arrays; slow.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace reformer {

/// Views are in host memory, their activations Float32 there and of dtype `activation` on the
/// device. Every view has an allocation of its own of just its size, so that whatever reads or
/// writes beside it is seen by those who look at device memory. REQUIRES:
/// device->computes_in(activation).
std::unique_ptr<Backend> make_mirrored_backend(std::unique_ptr<Backend> device,
                                               DType activation = DType::kFloat32);

}  // namespace reformer
