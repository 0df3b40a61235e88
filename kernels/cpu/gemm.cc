#include <algorithm>
#include <cstring>
#include <limits>

#include <cblas.h>

#include "kernels/core/check.h"
#include "kernels/cpu/exact_sum.h"
#include "kernels/cpu/ops.h"

namespace reformer::cpu {
namespace {

// Work is cut by shape alone. A product must be large enough to pay for packing its operands, and
// the cut fine enough to feed all threads when there are few tiles or the matrix is small.
constexpr int64_t kTileColumns = 512;
constexpr int64_t kGradientRows = 128;
constexpr int64_t kGradientColumns = 256;
constexpr int64_t kBiasColumns = 128;

int64_t pieces(int64_t extent, int64_t piece) {
  return (extent + piece - 1) / piece;
}

void check_floats(const View& view, const Shape& shape) {
  CHECK(view.defined());
  CHECK_EQ(view.dtype(), DType::kFloat32);
  CHECK_EQ(view.shape(), shape);
}

void check_matrix(const View& weight) {
  CHECK(weight.defined());
  CHECK_EQ(weight.shape().rank(), 2);
  constexpr int64_t kMax = std::numeric_limits<blasint>::max();
  CHECK(1 <= weight.shape()[0] && weight.shape()[0] <= kMax);
  CHECK(1 <= weight.shape()[1] && weight.shape()[1] <= kMax);
}

void check_layout(const TokenLayout& layout) {
  CHECK_GE(layout.tile, 1);
  CHECK_GE(layout.leaf, 1);
  CHECK_EQ(layout.leaf % layout.tile, 0);
  CHECK_EQ(layout.first_position % layout.tile, 0);
}

/// A row-major matrix inside a larger one: `stride` floats from row to row.
template <typename Float>
struct Block {
  Float* data = nullptr;
  int64_t stride = 0;
  CBLAS_TRANSPOSE transpose = CblasNoTrans;
};

/// c [m, n] = a [m, k] · b [k, n] + beta · c, with a and b as they are after their transposition.
void multiply(int64_t m, int64_t n, int64_t k, Block<const float> a, Block<const float> b,
              float beta, Block<float> c) {
  cblas_sgemm(CblasRowMajor, a.transpose, b.transpose, static_cast<blasint>(m),
              static_cast<blasint>(n), static_cast<blasint>(k), 1.0f, a.data,
              static_cast<blasint>(a.stride), b.data, static_cast<blasint>(b.stride), beta, c.data,
              static_cast<blasint>(c.stride));
}

/// Part of a [rows, width] activation that one GEMM call writes.
struct Tile {
  int64_t row = 0;
  int64_t rows = 0;
  int64_t column = 0;
  int64_t columns = 0;
};

/// Calls body(tile) in parallel for a cover of [layout.rows(), width].
template <typename Body>
void for_each_tile(ThreadPool& pool, const TokenLayout& layout, int64_t width, const Body& body) {
  const int64_t tiles = pieces(layout.length, layout.tile);
  const int64_t strips = pieces(width, kTileColumns);
  pool.parallel_for(layout.samples * tiles * strips, [&](int64_t index, int) {
    const int64_t token = index / strips % tiles * layout.tile;
    const int64_t column = index % strips * kTileColumns;
    body(Tile{.row = index / strips / tiles * layout.length + token,
              .rows = std::min(layout.tile, layout.length - token),
              .column = column,
              .columns = std::min(kTileColumns, width - column)});
  });
}

/// Calls body(first row, number of rows) for each leaf, in order. The tokens of `layout` may begin
/// or end inside a leaf.
template <typename Body>
void for_each_leaf(const TokenLayout& layout, const Body& body) {
  for (int64_t sample = 0; sample < layout.samples; ++sample) {
    for (int64_t token = 0; token < layout.length;) {
      const int64_t to_boundary = layout.leaf - (layout.first_position + token) % layout.leaf;
      const int64_t rows = std::min(to_boundary, layout.length - token);
      body(sample * layout.length + token, rows);
      token += rows;
    }
  }
}

/// dweight [block of rows, block of columns] += xᵀ·dy, leaf by leaf.
void add_weight_block(const LinearBackwardWeightArgs& args, int64_t row, int64_t column,
                      float* partial) {
  const int64_t in = args.dweight.shape()[0];
  const int64_t out = args.dweight.shape()[1];
  const int64_t rows = std::min(kGradientRows, in - row);
  const int64_t columns = std::min(kGradientColumns, out - column);
  const float* x = args.x.data<float>();
  const float* dy = args.dy.data<float>();
  for_each_leaf(args.layout, [&](int64_t token, int64_t tokens) {
    multiply(rows, columns, tokens, {x + token * in + row, in, CblasTrans},
             {dy + token * out + column, out}, 0.0f, {partial, columns});
    for (int64_t i = 0; i < rows; ++i) {
      add_partial({partial + i * columns, static_cast<size_t>(columns)}, args.dweight,
                  (row + i) * out + column, args.sum);
    }
  });
}

/// dbias [block of columns] += Σ dy, leaf by leaf.
void add_bias_block(const LinearBackwardWeightArgs& args, int64_t column, float* partial) {
  const int64_t out = args.dweight.shape()[1];
  const int64_t columns = std::min(kBiasColumns, out - column);
  const float* dy = args.dy.data<float>() + column;
  for_each_leaf(args.layout, [&](int64_t token, int64_t tokens) {
    std::memcpy(partial, dy + token * out, static_cast<size_t>(columns) * sizeof(float));
    for (int64_t i = 1; i < tokens; ++i) {
      cblas_saxpy(static_cast<blasint>(columns), 1.0f, dy + (token + i) * out, 1, partial, 1);
    }
    add_partial({partial, static_cast<size_t>(columns)}, args.dbias, column, args.sum);
  });
}

}  // namespace

void linear(ThreadPool& pool, const LinearArgs& args) {
  check_layout(args.layout);
  check_matrix(args.weight);
  const int64_t in = args.weight.shape()[0];
  const int64_t out = args.weight.shape()[1];
  check_floats(args.x, {args.layout.rows(), in});
  check_floats(args.weight, {in, out});
  check_floats(args.y, {args.layout.rows(), out});
  if (args.bias.defined()) check_floats(args.bias, {out});

  const float* x = args.x.data<float>();
  const float* weight = args.weight.data<float>();
  const float* bias = args.bias.data<float>();
  float* y = args.y.data<float>();
  for_each_tile(pool, args.layout, out, [&](const Tile& tile) {
    float* corner = y + tile.row * out + tile.column;
    if (bias) {
      const size_t bytes = static_cast<size_t>(tile.columns) * sizeof(float);
      for (int64_t i = 0; i < tile.rows; ++i)
        std::memcpy(corner + i * out, bias + tile.column, bytes);
    }
    multiply(tile.rows, tile.columns, in, {x + tile.row * in, in}, {weight + tile.column, out},
             bias ? 1.0f : 0.0f, {corner, out});
  });
}

void linear_backward_input(ThreadPool& pool, const LinearBackwardInputArgs& args) {
  check_layout(args.layout);
  check_matrix(args.weight);
  const int64_t in = args.weight.shape()[0];
  const int64_t out = args.weight.shape()[1];
  check_floats(args.dy, {args.layout.rows(), out});
  check_floats(args.weight, {in, out});
  check_floats(args.dx, {args.layout.rows(), in});

  const float* dy = args.dy.data<float>();
  const float* weight = args.weight.data<float>();
  float* dx = args.dx.data<float>();
  for_each_tile(pool, args.layout, in, [&](const Tile& tile) {
    multiply(tile.rows, tile.columns, out, {dy + tile.row * out, out},
             {weight + tile.column * out, out, CblasTrans}, args.accumulate ? 1.0f : 0.0f,
             {dx + tile.row * in + tile.column, in});
  });
}

void linear_backward_weight(ThreadPool& pool, const LinearBackwardWeightArgs& args) {
  check_layout(args.layout);
  check_matrix(args.dweight);
  const int64_t in = args.dweight.shape()[0];
  const int64_t out = args.dweight.shape()[1];
  check_floats(args.x, {args.layout.rows(), in});
  check_floats(args.dy, {args.layout.rows(), out});
  check_gradient(args.dweight, {in, out}, args.sum);
  if (args.dbias.defined()) check_gradient(args.dbias, {out}, args.sum);

  const int64_t block_columns = pieces(out, kGradientColumns);
  const int64_t weight_blocks = pieces(in, kGradientRows) * block_columns;
  const int64_t bias_blocks = args.dbias.defined() ? pieces(out, kBiasColumns) : 0;
  // The long pieces come first, so that no thread is left with one at the end.
  pool.parallel_for(weight_blocks + bias_blocks, [&](int64_t index, int thread) {
    float* partial = pool.scratch(thread, kGradientRows * kGradientColumns);
    if (index < weight_blocks) {
      add_weight_block(args, index / block_columns * kGradientRows,
                       index % block_columns * kGradientColumns, partial);
    } else {
      add_bias_block(args, (index - weight_blocks) * kBiasColumns, partial);
    }
  });
}

}  // namespace reformer::cpu
