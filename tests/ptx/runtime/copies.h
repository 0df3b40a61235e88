// Copies and fills as the runtime's functions make them.
#pragma once

#include <cstddef>

#include "tests/ptx/runtime/runtime.h"

namespace reformer::ptx {

/// `height` rows of `width` bytes, `to_pitch` and `from_pitch` bytes apart.
struct CopyArgs {
  const char* function = "";  // that was called
  void* to = nullptr;
  size_t to_pitch = 0;
  const void* from = nullptr;
  size_t from_pitch = 0;
  size_t width = 0;
  size_t height = 1;
  cudaMemcpyKind kind = cudaMemcpyDefault;
  cudaStream_t stream = nullptr;
  bool asynchronous = false;
};

/// Queues the copy. Pageable memory of the host is treated as CUDA does: a synchronous copy returns
/// when it is done, unless both sides are of a device; an asynchronous one takes a pageable source
/// at once, and returns only when a pageable target was written.
cudaError_t copy(Runtime& runtime, const CopyArgs& args);

/// Sets `height` rows of `width` bytes.
struct FillArgs {
  const char* function = "";
  void* to = nullptr;
  size_t pitch = 0;
  int value = 0;
  size_t width = 0;
  size_t height = 1;
  cudaStream_t stream = nullptr;
};

cudaError_t fill(Runtime& runtime, const FillArgs& args);

}  // namespace reformer::ptx
