// The handle of cuBLASLt, its algorithms, and cublasLtMatmul.
#include <algorithm>
#include <cstring>
#include <vector>

#include "tests/ptx/blas/lt_problem.h"
#include "tests/ptx/blas/matmul.h"
#include "tests/ptx/blas/status_text.h"

using reformer::ptx::alignment;
using reformer::ptx::behind;
using reformer::ptx::DeviceMatrix;
using reformer::ptx::LtAlgorithm;
using reformer::ptx::LtDescriptor;
using reformer::ptx::LtLayout;
using reformer::ptx::LtPreference;
using reformer::ptx::LtProblem;
using reformer::ptx::MatmulArgs;
using reformer::ptx::Refusal;
using reformer::ptx::refuse;
using reformer::ptx::Scale;

struct cublasLtContext {};

namespace {

LtProblem problem_of(cublasLtMatmulDesc_t descriptor, cublasLtMatrixLayout_t a,
                     cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  return {behind(descriptor), behind(a), behind(b), behind(c), behind(d)};
}

cublasLtMatmulHeuristicResult_t result_of(const LtAlgorithm& algorithm, const LtProblem& problem) {
  cublasLtMatmulHeuristicResult_t result = {};
  *behind(&result.algo) = algorithm;
  result.workspaceSize = workspace_bytes(algorithm, problem);
  result.state = CUBLAS_STATUS_SUCCESS;
  result.wavesCount = 1;
  return result;
}

DeviceMatrix matrix_of(const LtLayout& layout, const void* data) {
  return {.data = data,
          .type = reformer::ptx::element_type(static_cast<cudaDataType_t>(layout.type)),
          .rows = static_cast<int64_t>(layout.rows),
          .columns = static_cast<int64_t>(layout.columns),
          .leading = layout.leading,
          .row_major = layout.order == CUBLASLT_ORDER_ROW,
          .batch_stride = layout.batch_stride};
}

Scale scale_of(const LtDescriptor& descriptor, const void* value) {
  const auto* const number = static_cast<const float*>(value);
  if (descriptor.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE) return {.device = number};
  return {.value = *number};
}

bool misaligned(const LtAlgorithm& algorithm, const LtLayout& layout, const void* data) {
  return reinterpret_cast<uintptr_t>(data) % alignment(algorithm, layout) != 0;
}

/// The pointers of a call, whose problem was found good.
Refusal check_pointers(const LtProblem& problem, const LtAlgorithm& algorithm,
                       const MatmulArgs& args, size_t workspace_given) {
  if (args.a.data == nullptr || args.b.data == nullptr || args.d.data == nullptr) {
    return {CUBLAS_STATUS_INVALID_VALUE, "A, B or D is null"};
  }
  const bool reads_c = args.beta.device != nullptr || args.beta.value != 0;
  if (reads_c && args.c.data == nullptr) return {CUBLAS_STATUS_INVALID_VALUE, "C is null"};
  if (args.c.data == args.d.data &&
      (problem.c->leading != problem.d->leading || problem.c->order != problem.d->order)) {
    return {CUBLAS_STATUS_INVALID_VALUE, "C is D, with another layout"};
  }
  if (misaligned(algorithm, *problem.a, args.a.data) ||
      misaligned(algorithm, *problem.b, args.b.data) ||
      (reads_c && misaligned(algorithm, *problem.c, args.c.data)) ||
      misaligned(algorithm, *problem.d, args.d.data)) {
    return {CUBLAS_STATUS_INVALID_VALUE, "the algorithm needs pointers aligned to 16 bytes"};
  }
  if (args.workspace_bytes > workspace_given ||
      (args.workspace_bytes > 0 && args.workspace == nullptr)) {
    return {CUBLAS_STATUS_INVALID_VALUE, "the algorithm needs a larger workspace"};
  }
  return {};
}

/// The one that a call without an algorithm gets: the best that these pointers allow.
LtAlgorithm choose_algorithm(const LtProblem& problem, const MatmulArgs& args,
                             size_t workspace_given) {
  LtPreference preference{.max_workspace_bytes = workspace_given};
  for (const void* pointer : {args.a.data, args.b.data, args.c.data, args.d.data}) {
    const bool aligned = reinterpret_cast<uintptr_t>(pointer) % reformer::ptx::kVectorBytes == 0;
    if (!aligned) preference.min_alignment_a = 1;
  }
  return choose_algorithms(problem, preference).front();
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext();
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion() {
  return CUBLAS_VERSION;
}

const char* cublasLtGetStatusName(cublasStatus_t status) {
  return reformer::ptx::status_name(status);
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return reformer::ptx::status_meaning(status);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t descriptor,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* returned) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (preference == nullptr || results == nullptr || returned == nullptr || requested < 1) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, __func__, "nothing to answer with");
  }
  *returned = 0;
  const LtProblem problem = problem_of(descriptor, a, b, c, d);
  const Refusal refusal = check_problem(problem);
  if (refusal.status != CUBLAS_STATUS_SUCCESS) {
    return refuse(refusal.status, __func__, refusal.reason);
  }
  for (const LtAlgorithm& algorithm : choose_algorithms(problem, *behind(preference))) {
    if (*returned < requested) results[(*returned)++] = result_of(algorithm, problem);
  }
  return *returned > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoGetIds(cublasLtHandle_t handle, cublasComputeType_t,
                                        cudaDataType_t, cudaDataType_t, cudaDataType_t,
                                        cudaDataType_t, cudaDataType_t, int requested, int ids[],
                                        int* returned) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (requested < 1 || ids == nullptr || returned == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *returned = std::min(requested, int{reformer::ptx::kAlgorithms});
  for (int id = 0; id < *returned; ++id) ids[id] = id;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t handle, cublasComputeType_t, cudaDataType_t,
                                      cudaDataType_t, cudaDataType_t, cudaDataType_t,
                                      cudaDataType_t, int id, cublasLtMatmulAlgo_t* algorithm) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (algorithm == nullptr || id < 0 || id >= reformer::ptx::kAlgorithms) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  *algorithm = {};
  *behind(algorithm) = LtAlgorithm{.id = id};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t descriptor,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algorithm,
                                       cublasLtMatmulHeuristicResult_t* result) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (algorithm == nullptr || result == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const LtProblem problem = problem_of(descriptor, a, b, c, d);
  Refusal refusal = check_problem(problem);
  if (refusal.status == CUBLAS_STATUS_SUCCESS) {
    refusal = check_algorithm(*behind(algorithm), problem);
  }
  if (refusal.status == CUBLAS_STATUS_SUCCESS) *result = result_of(*behind(algorithm), problem);
  return refusal.status;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t descriptor,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t layout_a,
                              const void* b, cublasLtMatrixLayout_t layout_b, const void* beta,
                              const void* c, cublasLtMatrixLayout_t layout_c, void* d,
                              cublasLtMatrixLayout_t layout_d,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_given, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const LtProblem problem = problem_of(descriptor, layout_a, layout_b, layout_c, layout_d);
  Refusal refusal = check_problem(problem);
  if (refusal.status == CUBLAS_STATUS_SUCCESS && (alpha == nullptr || beta == nullptr)) {
    refusal = {CUBLAS_STATUS_INVALID_VALUE, "alpha or beta is null"};
  }
  if (refusal.status != CUBLAS_STATUS_SUCCESS) {
    return refuse(refusal.status, __func__, refusal.reason);
  }
  const LtDescriptor& how = *problem.descriptor;
  MatmulArgs args{.a = matrix_of(*problem.a, a),
                  .b = matrix_of(*problem.b, b),
                  .c = matrix_of(*problem.c, c),
                  .d = matrix_of(*problem.d, d),
                  .transpose_a = how.transpose_a != CUBLAS_OP_N,
                  .transpose_b = how.transpose_b != CUBLAS_OP_N,
                  .batch = problem.d->batch,
                  .alpha = scale_of(how, alpha),
                  .beta = scale_of(how, beta),
                  .relu = (how.epilogue & CUBLASLT_EPILOGUE_RELU) != 0,
                  .workspace = workspace};
  if ((how.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0) {
    args.bias = how.bias;
    args.bias_stride = how.bias_batch_stride;
    args.bias_type = args.d.type;
  }
  const LtAlgorithm chosen =
      algorithm == nullptr ? choose_algorithm(problem, args, workspace_given) : *behind(algorithm);
  args.k_parts = std::max(1, chosen.k_parts);
  args.workspace_bytes = workspace_bytes(chosen, problem);
  refusal = check_algorithm(chosen, problem);
  if (refusal.status == CUBLAS_STATUS_SUCCESS) {
    refusal = check_pointers(problem, chosen, args, workspace_given);
  }
  if (refusal.status != CUBLAS_STATUS_SUCCESS) {
    return refuse(refusal.status, __func__, refusal.reason);
  }
  return enqueue_matmul(stream, args);
}
