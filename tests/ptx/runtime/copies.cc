#include "tests/ptx/runtime/copies.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace reformer::ptx {
namespace {

std::byte* row(void* begin, size_t pitch, size_t index) {
  return static_cast<std::byte*>(begin) + pitch * index;
}

const std::byte* row(const void* begin, size_t pitch, size_t index) {
  return static_cast<const std::byte*>(begin) + pitch * index;
}

std::string describe(const CopyArgs& args) {
  return std::string(args.function) + " of " + std::to_string(args.width * args.height) +
         " bytes from " + hexadecimal(args.from) + " to " + hexadecimal(args.to);
}

bool wants_device(cudaMemcpyKind kind, bool target) {
  return kind == cudaMemcpyDeviceToDevice ||
         kind == (target ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost);
}

bool wants_host(cudaMemcpyKind kind, bool target) {
  return kind == cudaMemcpyHostToHost ||
         kind == (target ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice);
}

/// One side of a copy against its kind and against what is allocated now.
void check_side(const CheckedMemory& memory, const CopyArgs& args, const void* pointer,
                size_t bytes, bool target) {
  const char* const side = target ? "the target" : "the source";
  if (memory.is_device(pointer)) {
    if (wants_host(args.kind, target)) {
      throw AccessError(describe(args) + ": " + side + " is device memory, and named host memory");
    }
    try {
      memory.check_allocated(pointer, bytes);
    } catch (const AccessError& error) {
      throw AccessError(describe(args) + ": " + side + ": " + error.what());
    }
  } else if (pointer == nullptr || (wants_device(args.kind, target) && !memory.is_known(pointer))) {
    throw AccessError(describe(args) + ": " + side + " is host memory, and named device memory");
  }
}

/// A source that the caller may change after the call: its bytes as they are now, without gaps.
std::shared_ptr<std::vector<std::byte>> staged(const CopyArgs& args) {
  auto bytes = std::make_shared<std::vector<std::byte>>(args.width * args.height);
  for (size_t i = 0; i < args.height; ++i) {
    std::memcpy(row(bytes->data(), args.width, i), row(args.from, args.from_pitch, i), args.width);
  }
  return bytes;
}

}  // namespace

cudaError_t copy(Runtime& runtime, const CopyArgs& args) {
  if (args.width == 0 || args.height == 0) return cudaSuccess;
  if (args.height > 1 && (args.width > args.to_pitch || args.width > args.from_pitch)) {
    return cudaErrorInvalidPitchValue;
  }
  CheckedMemory& memory = runtime.memory;
  check_side(memory, args, args.to, (args.height - 1) * args.to_pitch + args.width, true);
  check_side(memory, args, args.from, (args.height - 1) * args.from_pitch + args.width, false);
  const bool from_pageable = !memory.is_known(args.from);
  const bool to_pageable = !memory.is_known(args.to);

  CopyArgs queued = args;
  std::shared_ptr<std::vector<std::byte>> stage;
  if (args.asynchronous && from_pageable) {
    stage = staged(args);
    queued.from = stage->data();
    queued.from_pitch = args.width;
  }
  const OperationRef operation = runtime.queue.push(
      runtime.stream(args.stream), checked_step(describe(args), [&memory, queued, stage] {
        for (size_t i = 0; i < queued.height; ++i) {
          memory.copy(row(queued.to, queued.to_pitch, i), row(queued.from, queued.from_pitch, i),
                      queued.width);
        }
      }));
  const bool of_devices = memory.is_device(args.from) && memory.is_device(args.to);
  const bool waits = args.asynchronous ? to_pageable : !of_devices;
  if (waits) runtime.queue.wait(operation);
  return waits ? runtime.device_error() : cudaSuccess;
}

cudaError_t fill(Runtime& runtime, const FillArgs& args) {
  if (args.width == 0 || args.height == 0) return cudaSuccess;
  CheckedMemory& memory = runtime.memory;
  const size_t bytes = (args.height - 1) * args.pitch + args.width;
  const std::string what = std::string(args.function) + " of " + std::to_string(bytes) +
                           " bytes at " + hexadecimal(args.to);
  if (!memory.is_known(args.to)) throw AccessError(what + ": not device memory");
  if (memory.is_device(args.to)) {
    try {
      memory.check_allocated(args.to, bytes);
    } catch (const AccessError& error) {
      throw AccessError(what + ": " + error.what());
    }
  }
  runtime.queue.push(runtime.stream(args.stream), checked_step(what, [&memory, args] {
                       for (size_t i = 0; i < args.height; ++i) {
                         memory.set(row(args.to, args.pitch, i), args.value, args.width);
                       }
                     }));
  return cudaSuccess;
}

}  // namespace reformer::ptx
