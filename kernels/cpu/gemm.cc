#include <algorithm>
#include <limits>

#include <cblas.h>

#include "kernels/core/check.h"
#include "kernels/cpu/exact_sum.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows.h"

namespace reformer::cpu {
namespace {

// Work is cut by shape alone, and finely enough to feed all threads where tiles are few or the
// matrix is small. But every product packs its operands anew, so that smaller pieces cost speed:
// half of these sizes loses 3 to 8% (Zen 3, 1024 rows).
constexpr int64_t kTileColumns = 256;
constexpr int64_t kGradientRows = 128;
constexpr int64_t kGradientColumns = 256;
constexpr int64_t kNarrowestGradient = 64;  // columns of a block where blocks are few
constexpr int64_t kFewestGradientBlocks = 4;
constexpr int64_t kBiasColumns = 128;

int64_t pieces(int64_t extent, int64_t piece) {
  return (extent + piece - 1) / piece;
}

void check_matrix(const View& weight) {
  CHECK(weight.defined());
  CHECK_EQ(weight.shape().rank(), 2);
  constexpr int64_t kMax = std::numeric_limits<blasint>::max();
  CHECK(1 <= weight.shape()[0] && weight.shape()[0] <= kMax);
  CHECK(1 <= weight.shape()[1] && weight.shape()[1] <= kMax);
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

/// How a weight gradient [in, out] is cut: in order of rows, then columns.
class GradientBlocks {
 public:
  GradientBlocks(int64_t in, int64_t out) : in_(in), out_(out) {
    while (count() < kFewestGradientBlocks && width_ > kNarrowestGradient) width_ /= 2;
  }

  int64_t count() const { return pieces(in_, kGradientRows) * strips(); }

  Tile operator[](int64_t index) const {
    const int64_t row = index / strips() * kGradientRows;
    const int64_t column = index % strips() * width_;
    return {.row = row,
            .rows = std::min(kGradientRows, in_ - row),
            .column = column,
            .columns = std::min(width_, out_ - column)};
  }

 private:
  int64_t strips() const { return pieces(out_, width_); }

  int64_t in_;
  int64_t out_;
  int64_t width_ = kGradientColumns;
};

/// dweight += xᵀ·dy in one block, leaf by leaf. `partial` holds the block.
void add_weight_block(const LinearBackwardWeightArgs& args, const Tile& block, float* partial) {
  const int64_t in = args.dweight.shape()[0];
  const int64_t out = args.dweight.shape()[1];
  const float* x = args.x.data<float>() + block.row;
  const float* dy = args.dy.data<float>() + block.column;
  for_leaves(args.layout, [&](int64_t begin, int64_t end) {
    multiply(block.rows, block.columns, end - begin, {x + begin * in, in, CblasTrans},
             {dy + begin * out, out}, 0.0f, {partial, block.columns});
    for (int64_t i = 0; i < block.rows; ++i) {
      add_partial({partial + i * block.columns, static_cast<size_t>(block.columns)}, args.dweight,
                  (block.row + i) * out + block.column, args.sum);
    }
  });
}

/// dbias += Σ dy in kBiasColumns columns, leaf by leaf. `partial` holds the columns.
void add_bias_block(const LinearBackwardWeightArgs& args, int64_t column, float* partial) {
  const int64_t out = args.dbias.elements();
  const int64_t columns = std::min(kBiasColumns, out - column);
  const float* dy = args.dy.data<float>() + column;
  for_leaves(args.layout, [&](int64_t begin, int64_t end) {
    std::copy_n(dy + begin * out, columns, partial);
    for (int64_t row = begin + 1; row < end; ++row) {
      cblas_saxpy(static_cast<blasint>(columns), 1.0f, dy + row * out, 1, partial, 1);
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
  check_view(args.x, DType::kFloat32, {args.layout.rows(), in});
  check_view(args.weight, DType::kFloat32, {in, out});
  check_view(args.y, DType::kFloat32, {args.layout.rows(), out});
  if (args.bias.defined()) check_view(args.bias, DType::kFloat32, {out});

  const float* x = args.x.data<float>();
  const float* weight = args.weight.data<float>();
  const float* bias = args.bias.data<float>();
  float* y = args.y.data<float>();
  for_each_tile(pool, args.layout, out, [&](const Tile& tile) {
    float* corner = y + tile.row * out + tile.column;
    if (bias) {
      for (int64_t i = 0; i < tile.rows; ++i) {
        std::copy_n(bias + tile.column, tile.columns, corner + i * out);
      }
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
  check_view(args.dy, DType::kFloat32, {args.layout.rows(), out});
  check_view(args.weight, DType::kFloat32, {in, out});
  check_view(args.dx, DType::kFloat32, {args.layout.rows(), in});

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
  check_view(args.x, DType::kFloat32, {args.layout.rows(), in});
  check_view(args.dy, DType::kFloat32, {args.layout.rows(), out});
  check_gradient(args.dweight, {in, out}, args.sum);
  if (args.dbias.defined()) check_gradient(args.dbias, {out}, args.sum);

  const GradientBlocks blocks(in, out);
  const int64_t bias_blocks = args.dbias.defined() ? pieces(out, kBiasColumns) : 0;
  // The long pieces come first, so that no thread is left with one at the end.
  pool.parallel_for(blocks.count() + bias_blocks, [&](int64_t index, int thread) {
    float* partial = pool.scratch(thread, kGradientRows * kGradientColumns);
    if (index < blocks.count()) {
      add_weight_block(args, blocks[index], partial);
    } else {
      add_bias_block(args, (index - blocks.count()) * kBiasColumns, partial);
    }
  });
}

}  // namespace reformer::cpu
