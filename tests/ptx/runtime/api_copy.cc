// Copies, fills, and the variables of modules.
#include <algorithm>

#include "tests/ptx/runtime/copies.h"

using reformer::ptx::call;
using reformer::ptx::CallError;
using reformer::ptx::CopyArgs;
using reformer::ptx::device_call;
using reformer::ptx::FillArgs;
using reformer::ptx::Runtime;
using reformer::ptx::VariableInfo;

namespace {

cudaError_t copy(const CopyArgs& args) {
  return device_call([&](Runtime& runtime) { return reformer::ptx::copy(runtime, args); });
}

cudaError_t fill(const FillArgs& args) {
  return device_call([&](Runtime& runtime) { return reformer::ptx::fill(runtime, args); });
}

VariableInfo variable(Runtime& runtime, const void* symbol) {
  if (!runtime.modules.has_variable(symbol)) throw CallError(cudaErrorInvalidSymbol);
  return runtime.modules.variable(symbol, runtime.device());
}

/// [offset, offset + bytes) of a variable.
std::byte* part(Runtime& runtime, const void* symbol, size_t bytes, size_t offset) {
  const VariableInfo found = variable(runtime, symbol);
  if (offset > found.bytes || bytes > found.bytes - offset) throw CallError(cudaErrorInvalidValue);
  return reinterpret_cast<std::byte*>(found.address) + offset;
}

}  // namespace

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return copy({.function = "cudaMemcpy", .to = to, .from = from, .width = bytes, .kind = kind});
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return copy({.function = "cudaMemcpyAsync",
               .to = to,
               .from = from,
               .width = bytes,
               .kind = kind,
               .stream = stream,
               .asynchronous = true});
}

cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                         size_t width, size_t height, cudaMemcpyKind kind) {
  return copy({.function = "cudaMemcpy2D",
               .to = to,
               .to_pitch = to_pitch,
               .from = from,
               .from_pitch = from_pitch,
               .width = width,
               .height = height,
               .kind = kind});
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return copy({.function = "cudaMemcpy2DAsync",
               .to = to,
               .to_pitch = to_pitch,
               .from = from,
               .from_pitch = from_pitch,
               .width = width,
               .height = height,
               .kind = kind,
               .stream = stream,
               .asynchronous = true});
}

cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes,
                                cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return fill({.function = "cudaMemset", .to = to, .value = value, .width = bytes});
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return fill(
      {.function = "cudaMemsetAsync", .to = to, .value = value, .width = bytes, .stream = stream});
}

cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
  return fill({.function = "cudaMemset2DAsync",
               .to = to,
               .pitch = pitch,
               .value = value,
               .width = width,
               .height = height,
               .stream = stream});
}

cudaError_t cudaMemset2D(void* to, size_t pitch, int value, size_t width, size_t height) {
  return cudaMemset2DAsync(to, pitch, value, width, height, nullptr);
}

cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  return device_call([&](Runtime& runtime) {
    *pointer = part(runtime, symbol, 0, 0);
    return cudaSuccess;
  });
}

cudaError_t cudaGetSymbolSize(size_t* bytes, const void* symbol) {
  return device_call([&](Runtime& runtime) {
    *bytes = variable(runtime, symbol).bytes;
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset,
                               cudaMemcpyKind kind) {
  return device_call([&](Runtime& runtime) {
    return cudaMemcpy(part(runtime, symbol, bytes, offset), from, bytes, kind);
  });
}

cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset,
                                 cudaMemcpyKind kind) {
  return device_call([&](Runtime& runtime) {
    return cudaMemcpy(to, part(runtime, symbol, bytes, offset), bytes, kind);
  });
}

cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes,
                                    size_t offset, cudaMemcpyKind kind, cudaStream_t stream) {
  return device_call([&](Runtime& runtime) {
    return cudaMemcpyAsync(part(runtime, symbol, bytes, offset), from, bytes, kind, stream);
  });
}

cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, size_t bytes, size_t offset,
                                      cudaMemcpyKind kind, cudaStream_t stream) {
  return device_call([&](Runtime& runtime) {
    return cudaMemcpyAsync(to, part(runtime, symbol, bytes, offset), bytes, kind, stream);
  });
}
