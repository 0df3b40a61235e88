#include "tests/ptx/blas/status_text.h"

#include <cstdio>

namespace reformer::ptx {
namespace {

struct StatusText {
  const char* name;
  const char* meaning;
};

StatusText text_of(cublasStatus_t status) {
  switch (status) {
#define PTX_STATUS(name, meaning) \
  case name:                      \
    return {#name, meaning}
    PTX_STATUS(CUBLAS_STATUS_SUCCESS, "success");
    PTX_STATUS(CUBLAS_STATUS_NOT_INITIALIZED, "the library was not initialized");
    PTX_STATUS(CUBLAS_STATUS_ALLOC_FAILED, "the resource allocation failed");
    PTX_STATUS(CUBLAS_STATUS_INVALID_VALUE, "an unsupported value or parameter was passed");
    PTX_STATUS(CUBLAS_STATUS_ARCH_MISMATCH, "the device lacks a feature");
    PTX_STATUS(CUBLAS_STATUS_EXECUTION_FAILED, "the program failed to execute on the device");
    PTX_STATUS(CUBLAS_STATUS_INTERNAL_ERROR, "an internal operation failed");
    PTX_STATUS(CUBLAS_STATUS_NOT_SUPPORTED, "the functionality is not supported");
#undef PTX_STATUS
    default:
      return {"CUBLAS_STATUS_UNKNOWN", "a result without a text"};
  }
}

}  // namespace

const char* status_name(cublasStatus_t status) {
  return text_of(status).name;
}

const char* status_meaning(cublasStatus_t status) {
  return text_of(status).meaning;
}

cublasStatus_t refuse(cublasStatus_t status, const char* function, const char* reason) {
  std::fprintf(stderr, "ptx: %s: %s\n", function, reason);
  return status;
}

}  // namespace reformer::ptx
