#include "tests/ptx/blas/matmul.h"

#include <memory>

#include "tests/ptx/runtime/stream_steps.h"

namespace reformer::ptx {
namespace {

/// Thrown when memory cannot be accessed, which was told already.
struct NoAccess {};

std::byte* host_bytes(const void* device, int64_t elements, ElementType type, bool write) {
  const auto bytes = static_cast<size_t>(elements * bytes_of(type));
  void* const host = ptxHostPointer(device, bytes, write ? 1 : 0);
  if (host == nullptr) throw NoAccess{};
  return static_cast<std::byte*>(host);
}

/// The host bytes of matrix `index` of a batch. What lies between its lines is not accessed.
std::byte* host_bytes(const DeviceMatrix& matrix, int64_t index, bool write) {
  const int64_t lines = matrix.row_major ? matrix.rows : matrix.columns;
  const int64_t length = matrix.row_major ? matrix.columns : matrix.rows;
  const auto* const begin = static_cast<const std::byte*>(matrix.data) +
                            index * matrix.batch_stride * bytes_of(matrix.type);
  if (matrix.leading == length) return host_bytes(begin, lines * length, matrix.type, write);
  std::byte* const first = host_bytes(begin, length, matrix.type, write);
  for (int64_t line = 1; line < lines; ++line) {
    const auto* const at = begin + line * matrix.leading * bytes_of(matrix.type);
    host_bytes(at, length, matrix.type, write);
  }
  return first;
}

Matrix strided(const DeviceMatrix& matrix, std::byte* data, bool transpose = false) {
  const bool rows_apart = matrix.row_major != transpose;
  return {.data = data,
          .type = matrix.type,
          .row_stride = rows_apart ? matrix.leading : 1,
          .column_stride = rows_apart ? 1 : matrix.leading};
}

ConstMatrix strided_const(const DeviceMatrix& matrix, int64_t index, bool transpose = false) {
  const Matrix view = strided(matrix, host_bytes(matrix, index, false), transpose);
  return {view.data, view.type, view.row_stride, view.column_stride};
}

float value_of(const Scale& scale) {
  if (scale.device == nullptr) return scale.value;
  return load_element(host_bytes(scale.device, 1, ElementType::kFloat32, false),
                      ElementType::kFloat32);
}

void parallel_for(int64_t count, const std::function<void(int64_t)>& body) {
  const auto call = [](void* state, int64_t index) {
    (*static_cast<const std::function<void(int64_t)>*>(state))(index);
  };
  ptxParallelFor(count, call, const_cast<std::function<void(int64_t)>*>(&body));
}

void run_product(const MatmulArgs& args, int64_t index) {
  GemmArgs product;
  product.m = args.d.rows;
  product.n = args.d.columns;
  product.k = args.transpose_a ? args.a.rows : args.a.columns;
  product.alpha = value_of(args.alpha);
  product.beta = value_of(args.beta);
  product.bias_type = args.bias_type;
  product.relu = args.relu;
  product.k_parts = args.k_parts;
  if (product.k > 0) {
    product.a = strided_const(args.a, index, args.transpose_a);
    product.b = strided_const(args.b, index, args.transpose_b);
  }
  if (product.beta != 0) product.c = strided_const(args.c, index);
  if (args.bias != nullptr) {
    const auto* const bias = static_cast<const std::byte*>(args.bias) +
                             index * args.bias_stride * bytes_of(args.bias_type);
    product.bias = host_bytes(bias, product.m, args.bias_type, false);
  }
  if (args.workspace_bytes > 0 &&
      ptxHostPointer(args.workspace, args.workspace_bytes, 1) == nullptr) {
    throw NoAccess{};
  }
  product.d = strided(args.d, host_bytes(args.d, index, true));
  gemm(product, parallel_for);
}

int run(void* state) {
  const std::unique_ptr<const MatmulArgs> args(static_cast<const MatmulArgs*>(state));
  try {
    for (int64_t i = 0; i < args->batch; ++i) run_product(*args, i);
  } catch (const NoAccess&) {
    return -1;
  }
  return 1;
}

}  // namespace

bool known_type(cudaDataType_t type) {
  return type == CUDA_R_32F || type == CUDA_R_16BF || type == CUDA_R_16F;
}

ElementType element_type(cudaDataType_t type) {
  if (type == CUDA_R_32F) return ElementType::kFloat32;
  return type == CUDA_R_16BF ? ElementType::kBFloat16 : ElementType::kFloat16;
}

cublasStatus_t enqueue_matmul(cudaStream_t stream, const MatmulArgs& args) {
  if (args.d.rows == 0 || args.d.columns == 0 || args.batch == 0) return CUBLAS_STATUS_SUCCESS;
  auto state = std::make_unique<MatmulArgs>(args);
  if (ptxStreamEnqueue(stream, run, state.get()) != 0) return CUBLAS_STATUS_EXECUTION_FAILED;
  state.release();  // run() owns it
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace reformer::ptx
