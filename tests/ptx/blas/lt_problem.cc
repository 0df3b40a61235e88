#include "tests/ptx/blas/lt_problem.h"

#include <algorithm>

#include "tests/ptx/blas/matmul.h"

namespace reformer::ptx {
namespace {

/// Results of at most so many elements are summed in two parts of k, if k is long enough.
constexpr uint64_t kSmallResult = 64 * 64;
constexpr uint64_t kLongSum = 256;
constexpr int32_t kMostParts = 32;

cudaDataType_t type_of(const LtLayout& layout) {
  return static_cast<cudaDataType_t>(layout.type);
}

bool transposed(int32_t operation) {
  return operation != CUBLAS_OP_N;
}

uint64_t inner_of_a(const LtProblem& problem) {
  return transposed(problem.descriptor->transpose_a) ? problem.a->rows : problem.a->columns;
}

Refusal check_layout(const LtLayout& layout, int32_t batch) {
  if (layout.order != CUBLASLT_ORDER_COL && layout.order != CUBLASLT_ORDER_ROW) {
    return {CUBLAS_STATUS_NOT_SUPPORTED, "a matrix neither in column nor in row order"};
  }
  if (!known_type(type_of(layout))) {
    return {CUBLAS_STATUS_NOT_SUPPORTED, "a matrix neither of f32, nor of bf16, nor of f16"};
  }
  const uint64_t line = layout.order == CUBLASLT_ORDER_COL ? layout.rows : layout.columns;
  if (layout.leading < 0 || static_cast<uint64_t>(layout.leading) < line) {
    return {CUBLAS_STATUS_INVALID_VALUE, "a leading dimension smaller than the matrix"};
  }
  if (layout.batch != batch) return {CUBLAS_STATUS_INVALID_VALUE, "matrices of unequal batches"};
  return {};
}

Refusal check_shapes(const LtProblem& problem) {
  const LtDescriptor& descriptor = *problem.descriptor;
  const bool ta = transposed(descriptor.transpose_a);
  const bool tb = transposed(descriptor.transpose_b);
  const uint64_t m = ta ? problem.a->columns : problem.a->rows;
  const uint64_t n = tb ? problem.b->rows : problem.b->columns;
  const uint64_t k_of_b = tb ? problem.b->columns : problem.b->rows;
  if (inner_of_a(problem) != k_of_b) return {CUBLAS_STATUS_INVALID_VALUE, "A and B do not fit"};
  for (const LtLayout* result : {problem.c, problem.d}) {
    if (result->rows != m || result->columns != n) {
      return {CUBLAS_STATUS_INVALID_VALUE, "C or D is not of the size of the product"};
    }
  }
  return {};
}

/// The rows of the table of types of cublasLtMatmul with sums in f32.
Refusal check_types(const LtProblem& problem) {
  const LtDescriptor& descriptor = *problem.descriptor;
  if (descriptor.compute_type != CUBLAS_COMPUTE_32F &&
      descriptor.compute_type != CUBLAS_COMPUTE_32F_PEDANTIC) {
    return {CUBLAS_STATUS_NOT_SUPPORTED, "a compute type other than CUBLAS_COMPUTE_32F"};
  }
  if (descriptor.scale_type != CUDA_R_32F) {
    return {CUBLAS_STATUS_NOT_SUPPORTED, "alpha and beta of another type than f32"};
  }
  const int32_t result = problem.d->type;
  if (problem.a->type != problem.b->type || problem.c->type != result ||
      (result != CUDA_R_32F && result != problem.a->type)) {
    return {CUBLAS_STATUS_NOT_SUPPORTED, "no such combination of types of A, B, C and D"};
  }
  if (descriptor.bias_type >= 0 && descriptor.bias_type != result) {
    return {CUBLAS_STATUS_NOT_SUPPORTED, "a bias of another type than D"};
  }
  return {};
}

Refusal check_epilogue(const LtDescriptor& descriptor) {
  switch (descriptor.epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_RELU:
      return {};
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
      if (descriptor.bias == nullptr) {
        return {CUBLAS_STATUS_INVALID_VALUE, "an epilogue with a bias, and no bias"};
      }
      return {};
    default:
      return {CUBLAS_STATUS_NOT_SUPPORTED, "an epilogue other than bias and ReLU"};
  }
}

}  // namespace

Refusal check_problem(const LtProblem& problem) {
  if (problem.descriptor == nullptr || problem.a == nullptr || problem.b == nullptr ||
      problem.c == nullptr || problem.d == nullptr) {
    return {CUBLAS_STATUS_INVALID_VALUE, "a descriptor or layout is null"};
  }
  std::vector<Refusal> refusals;
  for (const LtLayout* layout : {problem.a, problem.b, problem.c, problem.d}) {
    refusals.push_back(check_layout(*layout, problem.d->batch));
  }
  refusals.push_back(check_shapes(problem));
  refusals.push_back(check_types(problem));
  refusals.push_back(check_epilogue(*problem.descriptor));
  if (problem.descriptor->transpose_c != CUBLAS_OP_N) {
    refusals.push_back({CUBLAS_STATUS_NOT_SUPPORTED, "a transposed C"});
  }
  const auto first = std::find_if(refusals.begin(), refusals.end(), [](const Refusal& refusal) {
    return refusal.status != CUBLAS_STATUS_SUCCESS;
  });
  return first == refusals.end() ? Refusal{} : *first;
}

uint32_t alignment(const LtAlgorithm& algorithm, const LtLayout& layout) {
  if (algorithm.id == kAligned) return kVectorBytes;
  return static_cast<uint32_t>(bytes_of(element_type(type_of(layout))));
}

size_t workspace_bytes(const LtAlgorithm& algorithm, const LtProblem& problem) {
  if (algorithm.k_parts <= 1) return 0;
  return static_cast<size_t>(algorithm.k_parts) * sizeof(float) * problem.d->rows *
         problem.d->columns;
}

Refusal check_algorithm(const LtAlgorithm& algorithm, const LtProblem& problem) {
  if (algorithm.magic != LtAlgorithm::kMagic || algorithm.id < 0 || algorithm.id >= kAlgorithms ||
      algorithm.k_parts < 0 || algorithm.k_parts > kMostParts) {
    return {CUBLAS_STATUS_INVALID_VALUE, "not an algorithm of this library"};
  }
  for (const LtLayout* layout : {problem.a, problem.b, problem.c, problem.d}) {
    const int64_t bytes = bytes_of(element_type(type_of(*layout)));
    const int64_t unit = alignment(algorithm, *layout);
    if (layout->leading * bytes % unit != 0 ||
        (layout->batch > 1 && layout->batch_stride * bytes % unit != 0)) {
      return {CUBLAS_STATUS_NOT_SUPPORTED,
              "the algorithm needs leading dimensions and strides of a multiple of 16 bytes"};
    }
  }
  return {};
}

std::vector<LtAlgorithm> choose_algorithms(const LtProblem& problem,
                                           const LtPreference& preference) {
  const bool small =
      problem.d->rows * problem.d->columns <= kSmallResult && inner_of_a(problem) >= kLongSum;
  std::vector<LtAlgorithm> candidates;
  for (const int32_t id : {kAligned, kPlain}) {
    const LtAlgorithm whole{.id = id};
    const LtAlgorithm halves{
        .id = id, .k_parts = 2, .reduction_scheme = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE};
    candidates.push_back(small ? halves : whole);
    candidates.push_back(small ? whole : halves);
  }
  std::erase_if(candidates, [&](const LtAlgorithm& algorithm) {
    const uint32_t least = std::min({preference.min_alignment_a, preference.min_alignment_b,
                                     preference.min_alignment_c, preference.min_alignment_d});
    return workspace_bytes(algorithm, problem) > preference.max_workspace_bytes ||
           (algorithm.reduction_scheme & ~preference.reduction_schemes) != 0 ||
           (algorithm.id == kAligned && least < kVectorBytes) ||
           check_algorithm(algorithm, problem).status != CUBLAS_STATUS_SUCCESS;
  });
  return candidates;
}

}  // namespace reformer::ptx
