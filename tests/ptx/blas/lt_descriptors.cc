// The descriptors, layouts and preferences of cuBLASLt.
#include <cstring>
#include <span>

#include "tests/ptx/blas/lt_types.h"
#include "tests/ptx/blas/status_text.h"

using reformer::ptx::behind;
using reformer::ptx::LtDescriptor;
using reformer::ptx::LtLayout;
using reformer::ptx::LtPreference;
using reformer::ptx::refuse;

namespace {

/// The bytes of an attribute; empty for those that are not known.
template <typename Value>
std::span<std::byte> bytes_of(Value& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

std::span<std::byte> attribute(LtDescriptor& descriptor, cublasLtMatmulDescAttributes_t name) {
  switch (name) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      return bytes_of(descriptor.compute_type);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      return bytes_of(descriptor.scale_type);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return bytes_of(descriptor.pointer_mode);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return bytes_of(descriptor.transpose_a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return bytes_of(descriptor.transpose_b);
    case CUBLASLT_MATMUL_DESC_TRANSC:
      return bytes_of(descriptor.transpose_c);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return bytes_of(descriptor.epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return bytes_of(descriptor.bias);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return bytes_of(descriptor.bias_type);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE:
      return bytes_of(descriptor.bias_batch_stride);
    default:
      return {};
  }
}

std::span<std::byte> attribute(LtLayout& layout, cublasLtMatrixLayoutAttribute_t name) {
  switch (name) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      return bytes_of(layout.type);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
      return bytes_of(layout.order);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return bytes_of(layout.rows);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return bytes_of(layout.columns);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return bytes_of(layout.leading);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return bytes_of(layout.batch);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return bytes_of(layout.batch_stride);
    default:
      return {};
  }
}

std::span<std::byte> attribute(LtPreference& preference,
                               cublasLtMatmulPreferenceAttributes_t name) {
  switch (name) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return bytes_of(preference.max_workspace_bytes);
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
      return bytes_of(preference.search_mode);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return bytes_of(preference.reduction_schemes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return bytes_of(preference.min_alignment_a);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return bytes_of(preference.min_alignment_b);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return bytes_of(preference.min_alignment_c);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return bytes_of(preference.min_alignment_d);
    default:
      return {};
  }
}

/// Sets an attribute of something opaque.
template <typename Opaque, typename Name>
cublasStatus_t set(const char* function, Opaque opaque, Name name, const void* value,
                   size_t bytes) {
  if (opaque == nullptr || value == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const std::span<std::byte> target = attribute(*behind(opaque), name);
  if (target.empty()) {
    return refuse(CUBLAS_STATUS_NOT_SUPPORTED, function, "an attribute that is not known here");
  }
  if (bytes != target.size()) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, function, "a value of the wrong size");
  }
  std::memcpy(target.data(), value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

/// Gets one, or with `bytes` 0 its size alone.
template <typename Opaque, typename Name>
cublasStatus_t get(Opaque opaque, Name name, void* value, size_t bytes, size_t* written) {
  if (opaque == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const std::span<const std::byte> source = attribute(*behind(opaque), name);
  if (source.empty() || (bytes == 0 ? written == nullptr : bytes != source.size())) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (bytes > 0) std::memcpy(value, source.data(), bytes);
  if (written != nullptr) *written = source.size();
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t descriptor, size_t,
                                               cublasComputeType_t compute_type,
                                               cudaDataType_t scale_type) {
  *behind(descriptor) = {.compute_type = compute_type, .scale_type = scale_type};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* descriptor,
                                        cublasComputeType_t compute_type,
                                        cudaDataType_t scale_type) {
  *descriptor = new cublasLtMatmulDescOpaque_t();
  return cublasLtMatmulDescInit_internal(*descriptor, sizeof **descriptor, compute_type,
                                         scale_type);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t descriptor) {
  delete descriptor;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t descriptor,
                                              cublasLtMatmulDescAttributes_t name,
                                              const void* value, size_t bytes) {
  return set(__func__, descriptor, name, value, bytes);
}

cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t descriptor,
                                              cublasLtMatmulDescAttributes_t name, void* value,
                                              size_t bytes, size_t* written) {
  return get(descriptor, name, value, bytes, written);
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t,
                                                 cudaDataType type, uint64_t rows, uint64_t columns,
                                                 int64_t leading) {
  *behind(layout) = {.type = type, .rows = rows, .columns = columns, .leading = leading};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t leading) {
  *layout = new cublasLtMatrixLayoutOpaque_t();
  return cublasLtMatrixLayoutInit_internal(*layout, sizeof **layout, type, rows, columns, leading);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t name,
                                                const void* value, size_t bytes) {
  return set(__func__, layout, name, value, bytes);
}

cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t name, void* value,
                                                size_t bytes, size_t* written) {
  return get(layout, name, value, bytes, written);
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference,
                                                     size_t) {
  *behind(preference) = {};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t();
  return cublasLtMatmulPreferenceInit_internal(*preference, sizeof **preference);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void* value, size_t bytes) {
  return set(__func__, preference, name, value, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    void* value, size_t bytes, size_t* written) {
  return get(preference, name, value, bytes, written);
}
