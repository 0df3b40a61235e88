// What can be asked of algorithms, and how they are configured.
#include <cstring>
#include <span>

#include "tests/ptx/blas/lt_problem.h"

using reformer::ptx::behind;
using reformer::ptx::LtAlgorithm;

namespace {

template <typename Value>
std::span<std::byte> bytes_of(Value& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

std::span<std::byte> setting(LtAlgorithm& algorithm, cublasLtMatmulAlgoConfigAttributes_t name) {
  switch (name) {
    case CUBLASLT_ALGO_CONFIG_ID:
      return bytes_of(algorithm.id);
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
      return bytes_of(algorithm.tile);
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
      return bytes_of(algorithm.k_parts);
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
      return bytes_of(algorithm.reduction_scheme);
    case CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING:
      return bytes_of(algorithm.swizzle);
    case CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION:
      return bytes_of(algorithm.custom_option);
    case CUBLASLT_ALGO_CONFIG_STAGES_ID:
      return bytes_of(algorithm.stages);
    case CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID:
      return bytes_of(algorithm.inner_shape);
    case CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID:
      return bytes_of(algorithm.cluster_shape);
    default:
      return {};
  }
}

}  // namespace

cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t name,
                                                    const void* value, size_t bytes) {
  if (algorithm == nullptr || value == nullptr || name == CUBLASLT_ALGO_CONFIG_ID) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const std::span<std::byte> target = setting(*behind(algorithm), name);
  if (target.empty() || bytes != target.size()) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(target.data(), value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t name,
                                                    void* value, size_t bytes, size_t* written) {
  if (algorithm == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  LtAlgorithm copy = *behind(algorithm);
  const std::span<const std::byte> source = setting(copy, name);
  if (source.empty() || bytes != source.size()) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(value, source.data(), bytes);
  if (written != nullptr) *written = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCapGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                 cublasLtMatmulAlgoCapAttributes_t name,
                                                 void* value, size_t bytes, size_t* written) {
  if (algorithm == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  uint32_t answer = 0;
  switch (name) {
    case CUBLASLT_ALGO_CAP_SPLITK_SUPPORT:
    case CUBLASLT_ALGO_CAP_STRIDED_BATCH_SUPPORT:
      answer = 1;
      break;
    case CUBLASLT_ALGO_CAP_REDUCTION_SCHEME_MASK:
      answer = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
      break;
    case CUBLASLT_ALGO_CAP_EPILOGUE_MASK:
      answer = CUBLASLT_EPILOGUE_RELU_BIAS | CUBLASLT_EPILOGUE_DEFAULT;
      break;
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_D_BYTES:
      answer = behind(algorithm)->id == reformer::ptx::kAligned ? reformer::ptx::kVectorBytes : 1;
      break;
    case CUBLASLT_ALGO_CAP_CTA_SWIZZLING_SUPPORT:
    case CUBLASLT_ALGO_CAP_CUSTOM_OPTION_MAX:
      break;
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (bytes != sizeof answer) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(value, &answer, sizeof answer);
  if (written != nullptr) *written = sizeof answer;
  return CUBLAS_STATUS_SUCCESS;
}
