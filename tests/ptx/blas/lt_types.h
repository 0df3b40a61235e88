// What lies behind cuBLASLt's opaque types. All are plain data inside the vendor's structures.
#pragma once

#include <cstdint>

#include <cublasLt.h>

namespace reformer::ptx {

struct LtDescriptor {
  int32_t compute_type = CUBLAS_COMPUTE_32F;
  int32_t scale_type = CUDA_R_32F;
  int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  int32_t transpose_a = CUBLAS_OP_N;
  int32_t transpose_b = CUBLAS_OP_N;
  int32_t transpose_c = CUBLAS_OP_N;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  int32_t bias_type = -1;  // that of d
  int64_t bias_batch_stride = 0;
  const void* bias = nullptr;
};

struct LtLayout {
  int32_t type = CUDA_R_32F;
  int32_t order = CUBLASLT_ORDER_COL;
  uint64_t rows = 0;
  uint64_t columns = 0;
  int64_t leading = 0;
  int64_t batch_stride = 0;
  int32_t batch = 1;
};

struct LtPreference {
  uint64_t max_workspace_bytes = 0;
  uint32_t search_mode = CUBLASLT_SEARCH_BEST_FIT;
  uint32_t reduction_schemes = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t min_alignment_a = 256;
  uint32_t min_alignment_b = 256;
  uint32_t min_alignment_c = 256;
  uint32_t min_alignment_d = 256;
};

/// An algorithm as it is configured. Only `id` and `k_parts` matter to the stand-in.
struct LtAlgorithm {
  uint32_t magic = kMagic;
  int32_t id = 0;
  int32_t k_parts = 1;
  uint32_t tile = CUBLASLT_MATMUL_TILE_UNDEFINED;
  uint32_t stages = CUBLASLT_MATMUL_STAGES_UNDEFINED;
  uint32_t reduction_scheme = CUBLASLT_REDUCTION_SCHEME_NONE;
  uint32_t swizzle = 0;
  uint32_t custom_option = 0;
  uint16_t inner_shape = 0;
  uint16_t cluster_shape = 0;

  static constexpr uint32_t kMagic = 0x70747861;
};

static_assert(sizeof(LtDescriptor) <= sizeof(cublasLtMatmulDescOpaque_t));
static_assert(sizeof(LtLayout) <= sizeof(cublasLtMatrixLayoutOpaque_t));
static_assert(sizeof(LtPreference) <= sizeof(cublasLtMatmulPreferenceOpaque_t));
static_assert(sizeof(LtAlgorithm) <= sizeof(cublasLtMatmulAlgo_t));

inline LtDescriptor* behind(cublasLtMatmulDesc_t opaque) {
  return reinterpret_cast<LtDescriptor*>(opaque);
}
inline LtLayout* behind(cublasLtMatrixLayout_t opaque) {
  return reinterpret_cast<LtLayout*>(opaque);
}
inline LtPreference* behind(cublasLtMatmulPreference_t opaque) {
  return reinterpret_cast<LtPreference*>(opaque);
}
inline LtAlgorithm* behind(cublasLtMatmulAlgo_t* opaque) {
  return reinterpret_cast<LtAlgorithm*>(opaque);
}
inline const LtAlgorithm* behind(const cublasLtMatmulAlgo_t* opaque) {
  return reinterpret_cast<const LtAlgorithm*>(opaque);
}

}  // namespace reformer::ptx
