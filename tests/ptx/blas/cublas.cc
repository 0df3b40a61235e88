// cuBLAS: products of matrices in column order, summed in f32.
#include <algorithm>

#include "tests/ptx/blas/matmul.h"
#include "tests/ptx/blas/status_text.h"

using reformer::ptx::DeviceMatrix;
using reformer::ptx::element_type;
using reformer::ptx::enqueue_matmul;
using reformer::ptx::known_type;
using reformer::ptx::MatmulArgs;
using reformer::ptx::refuse;
using reformer::ptx::Scale;

struct cublasContext {
  cudaStream_t stream = nullptr;
  cublasPointerMode_t pointer_mode = CUBLAS_POINTER_MODE_HOST;
  cublasMath_t math_mode = CUBLAS_DEFAULT_MATH;
  cublasAtomicsMode_t atomics_mode = CUBLAS_ATOMICS_NOT_ALLOWED;
};

namespace {

struct Operand {
  const void* data = nullptr;
  cudaDataType_t type = CUDA_R_32F;
  int leading = 0;
  long long batch_stride = 0;
};

struct GemmCall {
  const char* function = "";
  cublasOperation_t transpose_a = CUBLAS_OP_N;
  cublasOperation_t transpose_b = CUBLAS_OP_N;
  int m = 0;
  int n = 0;
  int k = 0;
  const void* alpha = nullptr;
  Operand a;
  Operand b;
  const void* beta = nullptr;
  Operand c;
  int batch = 1;
  cublasComputeType_t compute_type = CUBLAS_COMPUTE_32F;
};

DeviceMatrix matrix_of(const Operand& operand, int rows, int columns) {
  return {.data = operand.data,
          .type = element_type(operand.type),
          .rows = rows,
          .columns = columns,
          .leading = operand.leading,
          .batch_stride = operand.batch_stride};
}

cublasStatus_t check(const GemmCall& call) {
  const auto invalid = [&](const char* reason) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, call.function, reason);
  };
  const bool ta = call.transpose_a != CUBLAS_OP_N;
  const bool tb = call.transpose_b != CUBLAS_OP_N;
  if (call.m < 0 || call.n < 0 || call.k < 0 || call.batch < 0) return invalid("a negative size");
  if (call.a.leading < std::max(1, ta ? call.k : call.m) ||
      call.b.leading < std::max(1, tb ? call.n : call.k) || call.c.leading < std::max(1, call.m)) {
    return invalid("a leading dimension smaller than the matrix");
  }
  if (call.alpha == nullptr || call.beta == nullptr) return invalid("alpha or beta is null");
  if (call.a.data == nullptr || call.b.data == nullptr || call.c.data == nullptr) {
    return invalid("a matrix is null");
  }
  const bool types_known = known_type(call.a.type) && call.a.type == call.b.type &&
                           (call.c.type == CUDA_R_32F || call.c.type == call.a.type);
  if (!types_known || (call.compute_type != CUBLAS_COMPUTE_32F &&
                       call.compute_type != CUBLAS_COMPUTE_32F_PEDANTIC)) {
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, call.function, "no such combination of types");
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t gemm(cublasHandle_t handle, const GemmCall& call) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (call.m == 0 || call.n == 0 || call.batch == 0) return CUBLAS_STATUS_SUCCESS;
  const cublasStatus_t status = check(call);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const bool ta = call.transpose_a != CUBLAS_OP_N;
  const bool tb = call.transpose_b != CUBLAS_OP_N;
  const auto scale = [&](const void* value) -> Scale {
    const auto* const number = static_cast<const float*>(value);
    if (handle->pointer_mode == CUBLAS_POINTER_MODE_DEVICE) return {.device = number};
    return {.value = *number};
  };
  const DeviceMatrix c = matrix_of(call.c, call.m, call.n);
  return enqueue_matmul(handle->stream,
                        {.a = matrix_of(call.a, ta ? call.k : call.m, ta ? call.m : call.k),
                         .b = matrix_of(call.b, tb ? call.n : call.k, tb ? call.k : call.n),
                         .c = c,
                         .d = c,
                         .transpose_a = ta,
                         .transpose_b = tb,
                         .batch = call.batch,
                         .alpha = scale(call.alpha),
                         .beta = scale(call.beta)});
}

}  // namespace

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = new cublasContext();
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}

/// No product needs one.
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void*, size_t) {
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  handle->math_mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  *mode = handle->math_mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  handle->atomics_mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  handle->pointer_mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t* mode) {
  *mode = handle->pointer_mode;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusName(cublasStatus_t status) {
  return reformer::ptx::status_name(status);
}

const char* cublasGetStatusString(cublasStatus_t status) {
  return reformer::ptx::status_meaning(status);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t transpose_a,
                                          cublasOperation_t transpose_b, int m, int n, int k,
                                          const void* alpha, const void* a, cudaDataType type_a,
                                          int leading_a, long long stride_a, const void* b,
                                          cudaDataType type_b, int leading_b, long long stride_b,
                                          const void* beta, void* c, cudaDataType type_c,
                                          int leading_c, long long stride_c, int batch,
                                          cublasComputeType_t compute_type, cublasGemmAlgo_t) {
  return gemm(handle, {.function = __func__,
                       .transpose_a = transpose_a,
                       .transpose_b = transpose_b,
                       .m = m,
                       .n = n,
                       .k = k,
                       .alpha = alpha,
                       .a = {a, type_a, leading_a, stride_a},
                       .b = {b, type_b, leading_b, stride_b},
                       .beta = beta,
                       .c = {c, type_c, leading_c, stride_c},
                       .batch = batch,
                       .compute_type = compute_type});
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transpose_a,
                            cublasOperation_t transpose_b, int m, int n, int k, const void* alpha,
                            const void* a, cudaDataType type_a, int leading_a, const void* b,
                            cudaDataType type_b, int leading_b, const void* beta, void* c,
                            cudaDataType type_c, int leading_c, cublasComputeType_t compute_type,
                            cublasGemmAlgo_t algorithm) {
  return cublasGemmStridedBatchedEx(handle, transpose_a, transpose_b, m, n, k, alpha, a, type_a,
                                    leading_a, 0, b, type_b, leading_b, 0, beta, c, type_c,
                                    leading_c, 0, 1, compute_type, algorithm);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t transpose_a,
                              cublasOperation_t transpose_b, int m, int n, int k,
                              const float* alpha, const float* a, int leading_a, const float* b,
                              int leading_b, const float* beta, float* c, int leading_c) {
  return cublasGemmEx(handle, transpose_a, transpose_b, m, n, k, alpha, a, CUDA_R_32F, leading_a, b,
                      CUDA_R_32F, leading_b, beta, c, CUDA_R_32F, leading_c, CUBLAS_COMPUTE_32F,
                      CUBLAS_GEMM_DEFAULT);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t transpose_a,
                                         cublasOperation_t transpose_b, int m, int n, int k,
                                         const float* alpha, const float* a, int leading_a,
                                         long long stride_a, const float* b, int leading_b,
                                         long long stride_b, const float* beta, float* c,
                                         int leading_c, long long stride_c, int batch) {
  return cublasGemmStridedBatchedEx(handle, transpose_a, transpose_b, m, n, k, alpha, a, CUDA_R_32F,
                                    leading_a, stride_a, b, CUDA_R_32F, leading_b, stride_b, beta,
                                    c, CUDA_R_32F, leading_c, stride_c, batch, CUBLAS_COMPUTE_32F,
                                    CUBLAS_GEMM_DEFAULT);
}
