// A call of cublasLtMatmul, checked as the library checks it: what can be computed, and by which
// algorithms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/ptx/blas/lt_types.h"

namespace reformer::ptx {

struct LtProblem {
  const LtDescriptor* descriptor = nullptr;
  const LtLayout* a = nullptr;
  const LtLayout* b = nullptr;
  const LtLayout* c = nullptr;
  const LtLayout* d = nullptr;
};

/// Why the library would not compute this: nothing where it would.
struct Refusal {
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  const char* reason = "";
};

/// Shapes, types and the epilogue, all without looking at pointers.
Refusal check_problem(const LtProblem& problem);

/// The algorithms: kAligned reads 16 bytes at a time, kPlain takes any matrix.
enum AlgorithmId : int32_t { kAligned = 0, kPlain = 1 };
inline constexpr int32_t kAlgorithms = 2;
inline constexpr uint32_t kVectorBytes = 16;

/// Bytes that pointers, leading dimensions and strides must be multiples of.
uint32_t alignment(const LtAlgorithm& algorithm, const LtLayout& layout);
/// Partial sums where k is summed in parts.
size_t workspace_bytes(const LtAlgorithm& algorithm, const LtProblem& problem);
/// Whether the algorithm takes matrices of these layouts, at well-aligned pointers.
Refusal check_algorithm(const LtAlgorithm& algorithm, const LtProblem& problem);

/// The algorithms for a problem, best first: as the vendor's, it prefers parts of k where the
/// result is small, so that what is chosen, and with it the last bits, depends on the shape. The
/// same question has the same answer. REQUIRES: check_problem found nothing.
std::vector<LtAlgorithm> choose_algorithms(const LtProblem& problem,
                                           const LtPreference& preference);

}  // namespace reformer::ptx
