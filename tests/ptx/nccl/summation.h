// Sums of elements in any of NCCL's types.
#pragma once

#include <cstddef>

#include <nccl.h>

namespace reformer::ptx::nccl {

/// sum += term, element by element. Integers wrap around; 16-bit floating-point sums are rounded
/// to nearest even after each addition. REQUIRES: size_of(dtype) > 0.
void add(void* sum, const void* term, size_t count, ncclDataType_t dtype);

}  // namespace reformer::ptx::nccl
