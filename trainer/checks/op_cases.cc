#include "trainer/checks/op_cases.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/core/check.h"
#include "kernels/core/fixed_point.h"
#include "trainer/checks/op_inputs.h"

namespace reformer {
namespace {

double value_at(const View& view, int64_t i) {
  switch (view.dtype()) {
    case DType::kFloat32:
      return static_cast<double>(view.data<float>()[i]);
    case DType::kFixed32:
      return static_cast<double>(stream_to_float(view.data<uint32_t>()[i]));
    case DType::kInt64:
      return static_cast<double>(view.data<int64_t>()[i]);
    default:
      return static_cast<double>(view.data<int32_t>()[i]);
  }
}

}  // namespace

std::vector<OpCase> op_cases(const OpScale& scale) {
  const OpShapes shapes(scale);
  std::vector<OpCase> cases;
  add_gemm_cases(shapes, cases);
  add_pointwise_cases(shapes, cases);
  add_token_cases(shapes, cases);
  add_lsh_cases(shapes, cases);
  add_attention_cases(shapes, cases);
  add_attention_part_cases(shapes, cases);
  add_update_cases(shapes, cases);
  return cases;
}

double error_of(const Tensor& result, const Tensor& expected) {
  CHECK_EQ(result.shape(), expected.shape());
  double difference = 0;
  double largest = 0;
  int64_t unequal = 0;
  for (int64_t i = 0; i < result.elements(); ++i) {
    const double value = value_at(result.view(), i);
    const double right = value_at(expected.view(), i);
    if (!std::isfinite(value)) return std::numeric_limits<double>::infinity();
    difference = std::max(difference, std::abs(value - right));
    largest = std::max(largest, std::abs(right));
    unequal += value != right;
  }
  if (expected.view().dtype() == DType::kInt32) {
    return static_cast<double>(unequal) /
           static_cast<double>(std::max<int64_t>(1, result.elements()));
  }
  return difference == 0 ? 0 : difference / std::max(largest, 1e-30);
}

}  // namespace reformer
