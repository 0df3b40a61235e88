#include "kernels/op_checks.h"

#include <algorithm>

#include "kernels/core/check.h"

namespace reformer {

void check_view(const View& view, DType dtype, const Shape& shape) {
  CHECK_EQ(view.dtype(), dtype);
  CHECK_EQ(view.shape(), shape);
}

void check_activation(const View& view, const Shape& shape) {
  CHECK(view.dtype() == DType::kFloat32 || view.dtype() == DType::kBFloat16);
  CHECK_EQ(view.shape(), shape);
}

void check_stream(const View& view, const Shape& shape) {
  CHECK(view.dtype() == DType::kFloat32 || view.dtype() == DType::kFixed32);
  CHECK_EQ(view.shape(), shape);
}

void check_layout(const TokenLayout& layout) {
  CHECK_GE(layout.tile, 1);
  CHECK_GE(layout.leaf, 1);
  CHECK_EQ(layout.leaf % layout.tile, 0);
  CHECK_EQ(layout.first_position % layout.tile, 0);
}

Shape checked_shape(const TokenLayout& layout, const View& x) {
  CHECK_EQ(x.shape().rank(), 2);
  CHECK_GE(x.shape()[1], 1);
  CHECK_EQ(x.shape()[0], layout.rows());
  return x.shape();
}

void check_gradient(const View& gradient, const Shape& shape, const GradientSum& sum) {
  CHECK_EQ(gradient.shape(), shape);
  CHECK(gradient.defined());
  if (gradient.dtype() == DType::kFloat32) return;
  CHECK_EQ(gradient.dtype(), DType::kInt64);
  CHECK_GT(sum.limit, 0.0);
  check_view(sum.faults, DType::kInt64, {kFaultKinds});
}

void check_gradient_view(const View& gradient, const Shape& shape) {
  CHECK(gradient.dtype() == DType::kInt64 || gradient.dtype() == DType::kFloat32);
  CHECK_EQ(gradient.shape(), shape);
}

void check_axes(const TokenLayout& layout, std::span<const View> axes, int64_t width) {
  if (axes.empty()) return;
  int64_t positions = 1;
  int64_t columns = 0;
  for (const View& axis : axes) {
    CHECK_EQ(axis.shape().rank(), 2);
    positions *= axis.shape()[0];
    columns += axis.shape()[1];
  }
  CHECK_EQ(columns, width);
  CHECK_LE(layout.first_position + layout.length, positions);
}

void check_attention(const AttentionArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const int64_t samples = args.layout.samples;
  const int64_t length = args.layout.length;
  const Shape rows{args.layout.rows(), pattern.heads * pattern.head_dim};
  const DType dtype = args.query.dtype();
  CHECK_GE(length, 1);
  CHECK_EQ(args.layout.first_position, 0);
  CHECK(pattern.heads >= 1 && pattern.heads < 65536 && pattern.head_dim >= 1);
  CHECK(pattern.chunk_length >= 1 && pattern.rounds >= 1);
  CHECK(pattern.causal || pattern.kind != AttentionKind::kStrict);
  CHECK(is_hashed(pattern.kind) || pattern.rounds == 1);
  // Twice the ring and two chunks more hold all unrolled slots.
  CHECK_LT(2 * (pattern.rounds * length + std::min(pattern.chunk_length, length)),
           int64_t{1} << 31);
  CHECK(args.dropout.rate >= 0 && args.dropout.rate < 1);
  check_activation(args.query, rows);
  check_view(args.value, dtype, rows);
  check_view(args.out, dtype, rows);
  check_view(args.lse, DType::kFloat32, {samples, pattern.heads, length});
  CHECK_EQ(args.key.defined(), !has_shared_query_key(pattern.kind));
  if (args.key.defined()) check_view(args.key, dtype, rows);
  if (args.mask.defined()) check_view(args.mask, DType::kUint8, {samples, length});
  if (!is_hashed(pattern.kind)) return;
  check_view(args.order, DType::kInt32, {samples, pattern.heads, pattern.rounds, length});
  const Shape& begins = args.bucket_begin.shape();
  CHECK_EQ(begins.rank(), 4);
  CHECK_GE(begins[3], 3);
  check_view(args.bucket_begin, DType::kInt32, {samples, pattern.heads, pattern.rounds, begins[3]});
}

void check_attention_backward(const AttentionBackwardArgs& args) {
  check_attention(args.forward);
  const Shape& rows = args.forward.query.shape();
  const DType dtype = args.forward.query.dtype();
  check_view(args.dout, dtype, rows);
  check_view(args.dquery, dtype, rows);
  check_view(args.dvalue, dtype, rows);
  CHECK_EQ(args.dkey.defined(), args.forward.key.defined());
  if (args.dkey.defined()) check_view(args.dkey, dtype, rows);
}

void check_adafactor(const AdafactorArgs& args) {
  const Shape& shape = args.parameter.shape();
  CHECK(shape.rank() == 1 || shape.rank() == 2);
  CHECK_GE(shape.elements(), 1);
  check_view(args.parameter, DType::kFloat32, shape);
  check_gradient_view(args.gradient, shape);
  check_view(args.update, DType::kFloat32, shape);
  CHECK_EQ(args.row.defined(), shape.rank() == 2);
  if (args.row.defined()) check_view(args.row, DType::kFloat32, {shape[0]});
  check_view(args.column, DType::kFloat32, {shape[shape.rank() - 1]});
  CHECK_GE(args.step, 1);
}

}  // namespace reformer
