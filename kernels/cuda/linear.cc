#include <algorithm>
#include <limits>

#include "kernels/core/check.h"
#include "kernels/cuda/convert.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/gradient.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {
namespace {

/// What algorithms are chosen for: rows of a layer's product, leaves of a weight gradient. With
/// fewer, speed does not matter.
constexpr int64_t kNominalRows = 4096;
constexpr int64_t kNominalBatch = 8;

/// Leaves whose weight gradients are computed before they are added.
int64_t leaves_at_a_time(int64_t in, int64_t out) {
  constexpr int64_t kMost = 64;
  constexpr int64_t kMostBytes = int64_t{64} << 20;
  return std::clamp(kMostBytes / (in * out * static_cast<int64_t>(sizeof(float))), int64_t{1},
                    kMost);
}

/// [in, out]
void check_matrix(const View& weight) {
  CHECK(weight.defined());
  CHECK_EQ(weight.shape().rank(), 2);
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  CHECK(1 <= weight.shape()[0] && weight.shape()[0] <= kMost);
  CHECK(1 <= weight.shape()[1] && weight.shape()[1] <= kMost);
}

/// The view in the dtype of a product's factors.
View in_dtype(Runtime& runtime, const View& view, DType dtype) {
  if (dtype == DType::kBFloat16) return as_bfloat16(runtime, view);
  CHECK_EQ(view.dtype(), dtype);
  return view;
}

Matrix matrix_of(const View& view) {
  return {.data = view.raw(), .dtype = view.dtype()};
}

Matrix transpose_of(const View& view) {
  return {.data = view.raw(), .dtype = view.dtype(), .transposed = true};
}

/// Leaves of equal length, next to each other.
struct LeafRun {
  int64_t count;
  int64_t rows;  // of each
};

/// The longest run from leaf `first` on, before leaf `end`.
LeafRun run_at(const Leaves& leaves, int64_t first, int64_t end) {
  const auto rows = [&](int64_t leaf) { return leaves.end(leaf) - leaves.begin(leaf); };
  LeafRun run{.count = 1, .rows = rows(first)};
  while (first + run.count < end && rows(first + run.count) == run.rows) ++run.count;
  return run;
}

/// partials [count, in, out] = xᵀ·dy of each leaf of the run.
void multiply_leaves(Runtime& runtime, const TokenLayout& layout, const LeafRun& run, const View& x,
                     const View& dy, const View& partials) {
  const int64_t in = x.shape()[1];
  const int64_t out = dy.shape()[1];
  Product product{.m = in,
                  .n = out,
                  .k = run.rows,
                  .batch = run.count,
                  .a = transpose_of(x),
                  .b = matrix_of(dy),
                  .c = matrix_of(partials),
                  .nominal_k = layout.leaf,
                  .nominal_batch = std::min(leaves_at_a_time(in, out), kNominalBatch)};
  product.a.stride = run.rows * in;
  product.b.stride = run.rows * out;
  product.c.stride = in * out;
  runtime.gemm().multiply(product);
}

/// dweight += xᵀ·dy, a few leaves at a time.
void add_weight_gradient(Runtime& runtime, const LinearBackwardWeightArgs& args, const View& x,
                         const View& dy) {
  const Leaves leaves(args.layout);
  const int64_t in = args.dweight.shape()[0];
  const int64_t out = args.dweight.shape()[1];
  const int64_t most = leaves_at_a_time(in, out);
  const View partials =
      runtime.workspace().allocate(DType::kFloat32, {std::min(most, leaves.count), in, out});
  for (int64_t first = 0; first < leaves.count; first += most) {
    const int64_t end = std::min(first + most, leaves.count);
    for (int64_t leaf = first; leaf < end;) {
      const LeafRun run = run_at(leaves, leaf, end);
      const int64_t begin = leaves.begin(leaf);
      const int64_t rows = run.count * run.rows;
      multiply_leaves(runtime, args.layout, run, x.rows(begin, begin + rows),
                      dy.rows(begin, begin + rows),
                      partials.rows(leaf - first, leaf - first + run.count));
      leaf += run.count;
    }
    add_partials(runtime,
                 {.values = partials.data<float>(), .count = end - first, .leaves = leaves},
                 args.dweight, args.sum);
  }
}

}  // namespace

void linear(Runtime& runtime, const LinearArgs& args) {
  check_layout(args.layout);
  check_matrix(args.weight);
  const int64_t rows = args.layout.rows();
  const int64_t in = args.weight.shape()[0];
  const int64_t out = args.weight.shape()[1];
  check_activation(args.x, {rows, in});
  check_view(args.weight, DType::kFloat32, {in, out});
  check_activation(args.y, {rows, out});
  CHECK(args.y.dtype() == args.x.dtype() || args.y.dtype() == DType::kFloat32);
  if (args.bias.defined()) check_view(args.bias, DType::kFloat32, {out});

  const Workspace::Mark mark(runtime.workspace());
  const View weight = in_dtype(runtime, args.weight, args.x.dtype());
  const View bias = args.bias.defined() ? in_dtype(runtime, args.bias, args.y.dtype()) : View();
  runtime.gemm().multiply({.m = rows,
                           .n = out,
                           .k = in,
                           .a = matrix_of(args.x),
                           .b = matrix_of(weight),
                           .c = matrix_of(args.y),
                           .bias = bias.raw(),
                           .nominal_m = kNominalRows});
}

void linear_backward_input(Runtime& runtime, const LinearBackwardInputArgs& args) {
  check_layout(args.layout);
  check_matrix(args.weight);
  const int64_t rows = args.layout.rows();
  const int64_t in = args.weight.shape()[0];
  const int64_t out = args.weight.shape()[1];
  check_activation(args.dy, {rows, out});
  check_view(args.weight, DType::kFloat32, {in, out});
  check_activation(args.dx, {rows, in});

  const Workspace::Mark mark(runtime.workspace());
  const DType dtype = args.dx.dtype();
  runtime.gemm().multiply({.m = rows,
                           .n = in,
                           .k = out,
                           .a = matrix_of(in_dtype(runtime, args.dy, dtype)),
                           .b = transpose_of(in_dtype(runtime, args.weight, dtype)),
                           .c = matrix_of(args.dx),
                           .accumulate = args.accumulate,
                           .nominal_m = kNominalRows});
}

void linear_backward_weight(Runtime& runtime, const LinearBackwardWeightArgs& args) {
  check_layout(args.layout);
  check_matrix(args.dweight);
  const int64_t rows = args.layout.rows();
  const int64_t in = args.dweight.shape()[0];
  const int64_t out = args.dweight.shape()[1];
  check_activation(args.x, {rows, in});
  check_activation(args.dy, {rows, out});
  check_gradient(args.dweight, {in, out}, args.sum);
  if (args.dbias.defined()) check_gradient(args.dbias, {out}, args.sum);

  const Workspace::Mark mark(runtime.workspace());
  add_weight_gradient(runtime, args, args.x, in_dtype(runtime, args.dy, args.x.dtype()));
  if (args.dbias.defined()) {
    add_column_sums(runtime, args.layout, args.dy, args.dbias, args.sum);
  }
}

}  // namespace reformer::cuda
