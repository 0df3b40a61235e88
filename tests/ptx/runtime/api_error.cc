// Errors: the last one, their names and meanings.
#include <utility>

#include "tests/ptx/runtime/runtime.h"

namespace {

struct ErrorText {
  const char* name;
  const char* meaning;
};

ErrorText text_of(cudaError_t error) {
  switch (error) {
#define PTX_ERROR(name, meaning) \
  case name:                     \
    return {#name, meaning}
    PTX_ERROR(cudaSuccess, "no error");
    PTX_ERROR(cudaErrorInvalidValue, "invalid argument");
    PTX_ERROR(cudaErrorMemoryAllocation, "out of memory");
    PTX_ERROR(cudaErrorInitializationError, "initialization error");
    PTX_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument");
    PTX_ERROR(cudaErrorInvalidPitchValue, "invalid pitch argument");
    PTX_ERROR(cudaErrorInvalidSymbol, "invalid device symbol");
    PTX_ERROR(cudaErrorMissingConfiguration, "__global__ function call is not configured");
    PTX_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function");
    PTX_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected");
    PTX_ERROR(cudaErrorInvalidDevice, "invalid device ordinal");
    PTX_ERROR(cudaErrorInvalidKernelImage, "device kernel image is invalid");
    PTX_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle");
    PTX_ERROR(cudaErrorNotReady, "device not ready");
    PTX_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered");
    PTX_ERROR(cudaErrorMisalignedAddress, "misaligned address");
    PTX_ERROR(cudaErrorLaunchFailure, "unspecified launch failure");
    PTX_ERROR(cudaErrorAssert, "device-side assert triggered");
    PTX_ERROR(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled");
    PTX_ERROR(cudaErrorHostMemoryAlreadyRegistered,
              "part or all of the requested memory range is already mapped");
    PTX_ERROR(cudaErrorHostMemoryNotRegistered,
              "pointer does not correspond to a registered memory region");
    PTX_ERROR(cudaErrorCooperativeLaunchTooLarge, "too many blocks in cooperative launch");
    PTX_ERROR(cudaErrorNotSupported, "operation not supported");
#undef PTX_ERROR
    default:
      return {"cudaErrorUnknown", "an error that the PTX interpreter has no text for"};
  }
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  return text_of(error).name;
}

const char* cudaGetErrorString(cudaError_t error) {
  return text_of(error).meaning;
}

/// The error of a failed device stays.
cudaError_t cudaGetLastError() {
  using reformer::ptx::Runtime;
  const cudaError_t error = cudaPeekAtLastError();
  reformer::ptx::last_error() = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() {
  using reformer::ptx::Runtime;
  Runtime& runtime = Runtime::instance();
  const cudaError_t last = reformer::ptx::last_error();
  if (last != cudaSuccess || runtime.settings.devices == 0) return last;
  return runtime.device_error();
}
