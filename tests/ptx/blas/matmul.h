// Matrix products on device memory, at their turn in a stream.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cublas_v2.h>
#include <library_types.h>

#include "tests/ptx/blas/ordered_gemm.h"

namespace reformer::ptx {

/// Matrices in device memory, one for each product of a batch.
struct DeviceMatrix {
  const void* data = nullptr;
  ElementType type = ElementType::kFloat32;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t leading = 0;  // elements from one column to the next; from row to row if row_major
  bool row_major = false;
  int64_t batch_stride = 0;  // elements
};

/// A number in host memory, or to be read in device memory when its turn has come.
struct Scale {
  float value = 0;
  const float* device = nullptr;
};

struct MatmulArgs {
  DeviceMatrix a;
  DeviceMatrix b;
  DeviceMatrix c;
  DeviceMatrix d;  // written
  bool transpose_a = false;
  bool transpose_b = false;
  int64_t batch = 1;
  Scale alpha;
  Scale beta;
  const void* bias = nullptr;  // [rows of d]; or absent
  int64_t bias_stride = 0;     // elements
  ElementType bias_type = ElementType::kFloat32;
  bool relu = false;
  int64_t k_parts = 1;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;  // that are used
};

/// False for the types that the stand-in does not know.
bool known_type(cudaDataType_t type);
/// REQUIRES: known_type.
ElementType element_type(cudaDataType_t type);

/// Queues the products. All memory is checked when their turn has come: matrices over their whole
/// extent, where what is read must have been written.
cublasStatus_t enqueue_matmul(cudaStream_t stream, const MatmulArgs& args);

}  // namespace reformer::ptx
