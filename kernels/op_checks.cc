#include "kernels/op_checks.h"

#include <algorithm>

#include "kernels/core/check.h"
#include "kernels/lsh_layout.h"

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

namespace {

/// For sequences of `length` tokens.
void check_pattern(const AttentionPattern& pattern, int64_t length, int64_t first_head) {
  CHECK_GE(length, 1);
  CHECK(pattern.heads >= 1 && pattern.head_dim >= 1);
  CHECK(first_head >= 0 && first_head + pattern.heads <= 65536);
  CHECK(pattern.chunk_length >= 1 && pattern.rounds >= 1);
  CHECK(pattern.causal || pattern.kind != AttentionKind::kStrict);
  CHECK(is_hashed(pattern.kind) || pattern.rounds == 1);
  // Twice the ring and two chunks more hold all unrolled slots.
  CHECK_LT(2 * (pattern.rounds * length + std::min(pattern.chunk_length, length)),
           int64_t{1} << 31);
}

/// `key` is there for the kinds that have one.
void check_key(const View& key, const AttentionPattern& pattern, DType dtype, const Shape& shape) {
  CHECK_EQ(key.defined(), !has_shared_query_key(pattern.kind));
  if (key.defined()) check_view(key, dtype, shape);
}

/// [leading…, N + 2]
void check_bucket_begin(const View& view, const Shape& leading) {
  const int rank = leading.rank();
  CHECK_EQ(view.dtype(), DType::kInt32);
  CHECK_EQ(view.shape().rank(), rank + 1);
  for (int i = 0; i < rank; ++i) CHECK_EQ(view.shape()[i], leading[i]);
  CHECK_GE(view.shape()[rank], 3);
}

Shape inner_shape(int64_t rows, const AttentionPattern& pattern) {
  return {rows, pattern.heads * pattern.head_dim};
}

/// All but the results.
void check_part_inputs(const AttentionPartArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  check_pattern(pattern, args.length, args.first_head);
  CHECK(0 <= args.own.begin && args.own.begin <= args.own.end && args.own.end <= args.length);
  CHECK_GE(args.sample, 0);
  CHECK(args.dropout.rate >= 0 && args.dropout.rate < 1);
  if (args.own.empty()) return;
  CHECK_EQ(args.query.shape().rank(), 2);
  const int64_t rows = args.query.shape()[0];
  const Shape inner = inner_shape(rows, pattern);
  const DType dtype = args.query.dtype();
  check_activation(args.query, inner);
  check_key(args.key, pattern, dtype, inner);
  check_view(args.value, dtype, inner);
  check_view(args.position, DType::kInt32, {rows});
  const SlotRange around = slots_around(pattern, SlotRing(pattern, args.length), args.own);
  check_view(args.row, DType::kInt32, {pattern.heads, pattern.rounds, around.size()});
  if (is_hashed(pattern.kind)) {
    check_bucket_begin(args.bucket_begin, {pattern.heads, pattern.rounds});
  }
  CHECK_EQ(args.slot_in.defined(), corrects_duplicates(pattern));
  if (args.slot_in.defined()) {
    check_view(args.slot_in, DType::kInt32, {pattern.heads, rows, pattern.rounds});
  }
}

/// A Float32 of each own slot, [H, R, own.size(), width].
void check_part_result(const View& view, const AttentionPartArgs& args, int64_t width) {
  check_view(view, DType::kFloat32,
             {args.pattern.heads, args.pattern.rounds, args.own.size(), width});
}

/// The rows of each round's results.
void check_result_rows(const TokenLayout& layout, const AttentionPattern& pattern,
                       const View& row) {
  check_layout(layout);
  check_pattern(pattern, std::max<int64_t>(1, layout.length), 0);
  check_view(row, DType::kInt32, {layout.samples, pattern.heads, pattern.rounds, layout.length});
}

}  // namespace

void check_attention(const AttentionArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const int64_t samples = args.layout.samples;
  const int64_t length = args.layout.length;
  const Shape rows = inner_shape(args.layout.rows(), pattern);
  const DType dtype = args.query.dtype();
  check_pattern(pattern, length, args.first_head);
  CHECK_EQ(args.layout.first_position, 0);
  CHECK(args.dropout.rate >= 0 && args.dropout.rate < 1);
  check_activation(args.query, rows);
  check_key(args.key, pattern, dtype, rows);
  check_view(args.value, dtype, rows);
  check_view(args.out, dtype, rows);
  check_view(args.lse, DType::kFloat32, {samples, pattern.heads, length});
  if (args.mask.defined()) check_view(args.mask, DType::kUint8, {samples, length});
  if (!is_hashed(pattern.kind)) return;
  check_view(args.order, DType::kInt32, {samples, pattern.heads, pattern.rounds, length});
  check_bucket_begin(args.bucket_begin, {samples, pattern.heads, pattern.rounds});
}

void check_attention_backward(const AttentionBackwardArgs& args) {
  check_attention(args.forward);
  const Shape& rows = args.forward.query.shape();
  const DType dtype = args.forward.query.dtype();
  check_view(args.dout, dtype, rows);
  check_view(args.dquery, dtype, rows);
  check_key(args.dkey, args.forward.pattern, dtype, rows);
  check_view(args.dvalue, dtype, rows);
}

void check_attention_part(const AttentionPartArgs& args) {
  check_part_inputs(args);
  if (args.own.empty()) return;
  check_part_result(args.sums, args, args.pattern.head_dim);
  check_part_result(args.weights, args, kRoundWeights);
}

void check_attention_part_backward(const AttentionPartBackwardArgs& args) {
  const AttentionPartArgs& forward = args.forward;
  check_part_inputs(forward);
  if (forward.own.empty()) return;
  const Shape& rows = forward.query.shape();
  const Shape scalars{rows[0], forward.pattern.heads};
  check_view(args.dout, forward.query.dtype(), rows);
  check_view(args.lse, DType::kFloat32, scalars);
  check_view(args.delta, DType::kFloat32, scalars);
  check_part_result(args.dquery, forward, forward.pattern.head_dim);
  CHECK_EQ(args.dkey.defined(), forward.key.defined());
  if (args.dkey.defined()) check_part_result(args.dkey, forward, forward.pattern.head_dim);
  check_part_result(args.dvalue, forward, forward.pattern.head_dim);
}

void check_combine_rounds(const CombineRoundsArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const TokenLayout& layout = args.layout;
  const Shape rows = inner_shape(layout.rows(), pattern);
  check_result_rows(layout, pattern, args.row);
  CHECK(args.dropout.rate >= 0 && args.dropout.rate < 1);
  CHECK_EQ(args.sums.shape().rank(), 2);
  const int64_t results = args.sums.shape()[0];
  check_view(args.sums, DType::kFloat32, {results, pattern.head_dim});
  check_view(args.weights, DType::kFloat32, {results, kRoundWeights});
  check_activation(args.value, rows);
  if (args.mask.defined()) {
    check_view(args.mask, DType::kUint8, {layout.samples, layout.length});
  }
  check_view(args.out, args.value.dtype(), rows);
  check_view(args.lse, DType::kFloat32, {layout.samples, pattern.heads, layout.length});
}

void check_combine_gradients(const CombineGradientsArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const TokenLayout& layout = args.layout;
  const Shape rows = inner_shape(layout.rows(), pattern);
  check_result_rows(layout, pattern, args.row);
  CHECK_EQ(args.query_parts.shape().rank(), 2);
  const Shape parts{args.query_parts.shape()[0], pattern.head_dim};
  check_view(args.query_parts, DType::kFloat32, parts);
  check_key(args.key_parts, pattern, DType::kFloat32, parts);
  check_view(args.value_parts, DType::kFloat32, parts);
  const DType dtype = args.dout.dtype();
  check_activation(args.dout, rows);
  check_view(args.lse, DType::kFloat32, {layout.samples, pattern.heads, layout.length});
  check_view(args.dquery, dtype, rows);
  check_key(args.dkey, pattern, dtype, rows);
  check_view(args.dvalue, dtype, rows);
}

void check_head_products(const HeadProductsArgs& args) {
  CHECK_GE(args.heads, 1);
  CHECK_EQ(args.a.shape().rank(), 2);
  const Shape& rows = args.a.shape();
  CHECK_GE(rows[1], 1);
  CHECK_EQ(rows[1] % args.heads, 0);
  check_activation(args.a, rows);
  check_view(args.b, args.a.dtype(), rows);
  check_view(args.products, DType::kFloat32, {rows[0], args.heads});
}

void check_gather_rows(const GatherRowsArgs& args) {
  CHECK_EQ(args.x.shape().rank(), 2);
  CHECK_EQ(args.index.shape().rank(), 1);
  check_view(args.index, DType::kInt32, {args.index.shape()[0]});
  check_view(args.y, args.x.dtype(), {args.index.shape()[0], args.x.shape()[1]});
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
