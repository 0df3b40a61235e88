#include "kernels/cuda/gemm.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>

#include <cublasLt.h>
#include <fmt/format.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"
#include "kernels/cuda/runtime.h"

namespace reformer::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr int64_t kWidestAlignment = 16;  // wider ones do not widen the choice of algorithms

void check_blas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(fmt::format("[cuda] {}: cuBLAS status {}", call, static_cast<int>(status)));
}

cudaDataType_t data_type(DType dtype) {
  if (dtype == DType::kBFloat16) return CUDA_R_16BF;
  CHECK_EQ(dtype, DType::kFloat32);
  return CUDA_R_32F;
}

/// Bytes that all rows of a matrix, in all products of a batch, are aligned to.
int64_t alignment_of(const Matrix& matrix, int64_t columns) {
  const auto size = static_cast<int64_t>(size_of(matrix.dtype));
  const auto address = static_cast<int64_t>(reinterpret_cast<uintptr_t>(matrix.data));
  const int64_t bits = address | columns * size | matrix.stride * size | kWidestAlignment;
  return bits & -bits;
}

/// The row-major product as cuBLAS sees it: column-major, so with the factors exchanged,
/// cᵀ [n, m] = bᵀ · aᵀ.
class Problem {
 public:
  Problem(const Product& product, int64_t m, int64_t k, int64_t batch) {
    check_blas(cublasLtMatmulDescInit(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F),
               "cublasLtMatmulDescInit");
    set(CUBLASLT_MATMUL_DESC_TRANSA, operation_of(product.b));
    set(CUBLASLT_MATMUL_DESC_TRANSB, operation_of(product.a));
    if (product.bias != nullptr) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias);
    }
    init(&a_, product.a, m, k, batch);
    init(&b_, product.b, k, product.n, batch);
    init(&c_, product.c, m, product.n, batch);
  }

  cublasLtMatmulDesc_t operation() { return &operation_; }
  cublasLtMatrixLayout_t a() { return &a_; }
  cublasLtMatrixLayout_t b() { return &b_; }
  cublasLtMatrixLayout_t c() { return &c_; }

 private:
  static cublasOperation_t operation_of(const Matrix& matrix) {
    return matrix.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  }

  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check_blas(cublasLtMatmulDescSetAttribute(&operation_, attribute, &value, sizeof value),
               "cublasLtMatmulDescSetAttribute");
  }

  /// The layout of a matrix that is [rows, columns] after its transposition.
  static void init(cublasLtMatrixLayout_t layout, const Matrix& matrix, int64_t rows,
                   int64_t columns, int64_t batch) {
    if (matrix.transposed) std::swap(rows, columns);
    check_blas(
        cublasLtMatrixLayoutInit(layout, data_type(matrix.dtype), static_cast<uint64_t>(columns),
                                 static_cast<uint64_t>(rows), columns),
        "cublasLtMatrixLayoutInit");
    if (batch == 1) return;
    const auto count = static_cast<int32_t>(batch);
    check_blas(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                                sizeof count),
               "cublasLtMatrixLayoutSetAttribute");
    check_blas(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                &matrix.stride, sizeof matrix.stride),
               "cublasLtMatrixLayoutSetAttribute");
  }

  cublasLtMatmulDescOpaque_t operation_;
  cublasLtMatrixLayoutOpaque_t a_;
  cublasLtMatrixLayoutOpaque_t b_;
  cublasLtMatrixLayoutOpaque_t c_;
};

/// Everything that an algorithm depends on.
struct Kind {
  explicit Kind(const Product& product)
      : m(product.nominal_m > 0 ? product.nominal_m : product.m),
        n(product.n),
        k(product.nominal_k > 0 ? product.nominal_k : product.k),
        batch(product.nominal_batch),
        dtypes{product.a.dtype, product.c.dtype},
        flags{product.a.transposed, product.b.transposed, product.bias != nullptr},
        alignments{
            alignment_of(product.a, product.a.transposed ? product.m : product.k),
            alignment_of(product.b, product.b.transposed ? product.k : product.n),
            alignment_of(product.c, product.n),
            alignment_of({.data = product.bias, .dtype = product.c.dtype}, 0),
        } {}

  auto operator<=>(const Kind&) const = default;

  int64_t m;
  int64_t n;
  int64_t k;
  int64_t batch;
  std::array<DType, 2> dtypes;
  std::array<bool, 3> flags;
  std::array<int64_t, 4> alignments;  // of a, b, c and bias
};

/// What the search for an algorithm may find.
class Preference {
 public:
  explicit Preference(const Kind& kind) {
    check_blas(cublasLtMatmulPreferenceInit(&preference_), "cublasLtMatmulPreferenceInit");
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
    const auto [a, b, c, bias] = kind.alignments;
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(b));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(a));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(c));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(std::min(c, bias)));
  }

  cublasLtMatmulPreference_t get() { return &preference_; }

 private:
  template <typename T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
    check_blas(cublasLtMatmulPreferenceSetAttribute(&preference_, attribute, &value, sizeof value),
               "cublasLtMatmulPreferenceSetAttribute");
  }

  cublasLtMatmulPreferenceOpaque_t preference_;
};

bool splits_sums(const cublasLtMatmulAlgo_t& algorithm) {
  int32_t parts = 1;
  size_t written = 0;
  check_blas(cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                                                  &parts, sizeof parts, &written),
             "cublasLtMatmulAlgoConfigGetAttribute");
  return parts > 1;
}

}  // namespace

struct Gemm::State {
  State() { check_blas(cublasLtCreate(&handle), "cublasLtCreate"); }
  ~State() { cublasLtDestroy(handle); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  /// Whether the algorithm computes this as well.
  bool accepts(const cublasLtMatmulAlgo_t& algorithm, const Product& product, int64_t m, int64_t k,
               int64_t batch) const {
    Problem problem(product, m, k, batch);
    cublasLtMatmulHeuristicResult_t result{};
    return cublasLtMatmulAlgoCheck(handle, problem.operation(), problem.b(), problem.a(),
                                   problem.c(), problem.c(), &algorithm,
                                   &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= kWorkspaceBytes;
  }

  /// The fastest, as cuBLASLt guesses, that splits no sum and computes the smallest product of its
  /// kind as well.
  cublasLtMatmulAlgo_t choose(const Product& product, const Kind& kind) const {
    constexpr int kCandidates = 32;
    Problem problem(product, kind.m, kind.k, kind.batch);
    Preference preference(kind);
    std::array<cublasLtMatmulHeuristicResult_t, kCandidates> found{};
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle, problem.operation(), problem.b(), problem.a(), problem.c(), problem.c(),
        preference.get(), kCandidates, found.data(), &count);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) {
      check_blas(status, "cublasLtMatmulAlgoGetHeuristic");
    }
    const int64_t least_m = product.nominal_m > 0 ? 1 : kind.m;
    const int64_t least_k = product.nominal_k > 0 ? 1 : kind.k;
    for (int i = 0; i < count; ++i) {
      const cublasLtMatmulHeuristicResult_t& candidate = found[static_cast<size_t>(i)];
      if (candidate.state == CUBLAS_STATUS_SUCCESS && !splits_sums(candidate.algo) &&
          accepts(candidate.algo, product, least_m, least_k, 1)) {
        return candidate.algo;
      }
    }
    throw DeviceError(
        fmt::format("[cuda] cuBLASLt has no algorithm for the product [{}, {}] · [{}, {}] of {} in "
                    "rows aligned to {} and {} bytes",
                    kind.m, kind.k, kind.k, kind.n, name_of(kind.dtypes[0]), kind.alignments[0],
                    kind.alignments[1]));
  }

  const cublasLtMatmulAlgo_t& algorithm_for(const Product& product) {
    const Kind kind(product);
    auto found = algorithms.find(kind);
    if (found == algorithms.end()) {
      found = algorithms.emplace(kind, choose(product, kind)).first;
    }
    return found->second;
  }

  cublasLtHandle_t handle = nullptr;
  std::map<Kind, cublasLtMatmulAlgo_t> algorithms;
};

Gemm::Gemm(Runtime& runtime)
    : runtime_(runtime), state_(runtime.computes() ? std::make_unique<State>() : nullptr) {}

Gemm::~Gemm() = default;

void Gemm::multiply(const Product& product) {
  if (product.m == 0 || product.batch == 0) return;
  CHECK(product.n > 0 && product.k > 0);
  CHECK_EQ(product.a.dtype, product.b.dtype);
  const Workspace::Mark mark(runtime_.workspace());
  const View workspace =
      runtime_.workspace().allocate(DType::kUint8, {static_cast<int64_t>(kWorkspaceBytes)});
  if (!runtime_.computes()) return;

  const cublasLtMatmulAlgo_t& algorithm = state_->algorithm_for(product);
  Problem problem(product, product.m, product.k, product.batch);
  const float alpha = 1;
  const float beta = product.accumulate ? 1 : 0;
  check_blas(cublasLtMatmul(state_->handle, problem.operation(), &alpha, product.b.data,
                            problem.b(), product.a.data, problem.a(), &beta, product.c.data,
                            problem.c(), const_cast<void*>(product.c.data), problem.c(), &algorithm,
                            workspace.raw(), kWorkspaceBytes, runtime_.stream()),
             "cublasLtMatmul");
}

}  // namespace reformer::cuda
