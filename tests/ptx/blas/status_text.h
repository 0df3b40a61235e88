// Names and meanings of cuBLAS's results.
#pragma once

#include <cublas_v2.h>

namespace reformer::ptx {

const char* status_name(cublasStatus_t status);
const char* status_meaning(cublasStatus_t status);

/// Prints "ptx: function: reason" and returns `status`: calls that fail say why.
cublasStatus_t refuse(cublasStatus_t status, const char* function, const char* reason);

}  // namespace reformer::ptx
