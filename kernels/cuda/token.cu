#include <algorithm>
#include <limits>

#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/for_chunks.cuh"
#include "kernels/cuda/gradient.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {
namespace {

constexpr int kChunkOfFloats = kChunk<float>;

/// One axis of the positions: its part of a row, and the digit that a position has there.
template <typename T>
struct Axis {
  T* table;         // [extent, width], values or gradient
  uint32_t column;  // of the row, where its part begins
  uint32_t stride;  // positions between two values of the digit
  uint32_t extent;
  uint32_t width;

  __device__ uint32_t digit(uint32_t position) const { return position / stride % extent; }
  /// The element of `table` for a column of the row.
  __device__ T* at(uint32_t position, int64_t of_row) const {
    return table + int64_t{digit(position)} * width + (of_row - column);
  }
};

constexpr int kMostAxes = 16;

template <typename T>
struct Axes {
  explicit Axes(std::span<const View> tables) : count(static_cast<int>(tables.size())) {
    CHECK_LE(tables.size(), static_cast<size_t>(kMostAxes));
    uint32_t column = 0;
    for (int a = 0; a < count; ++a) {
      const View& table = tables[static_cast<size_t>(a)];
      axis[a] = {.table = table.data<T>(),
                 .column = column,
                 .stride = 1,
                 .extent = static_cast<uint32_t>(table.shape()[0]),
                 .width = static_cast<uint32_t>(table.shape()[1])};
      column += axis[a].width;
    }
    // Positions are below 2^31, so that a longer stride does not tell them apart either.
    for (int a = count - 2; a >= 0; --a) {
      axis[a].stride = static_cast<uint32_t>(
          std::min(int64_t{axis[a + 1].stride} * axis[a + 1].extent, int64_t{1} << 31));
    }
  }

  /// Whether every chunk of a row lies in one axis, at 16 bytes of its table.
  bool whole() const {
    bool all = true;
    for (int a = 0; a < count; ++a) {
      all = all && whole_chunks(axis[a].width, kChunkOfFloats, {axis[a].table});
    }
    return all;
  }

  /// The axis of a column. REQUIRES: count > 0.
  __device__ const Axis<T>& of(int64_t column) const {
    int a = 0;
    while (column >= int64_t{axis[a].column} + axis[a].width) ++a;
    return axis[a];
  }

  int count;
  Axis<T> axis[kMostAxes];
};

struct Tokens {
  Tokens(const TokenLayout& layout, const View& tokens, int64_t vocabulary_size, int64_t row_width)
      : data(tokens.data<int32_t>()),
        vocabulary(vocabulary_size),
        width(row_width),
        rows(static_cast<uint32_t>(layout.rows())),
        length(static_cast<uint32_t>(layout.length)),
        first_position(static_cast<uint32_t>(layout.first_position)) {
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    CHECK_LE(layout.rows(), kMost);
    CHECK_LE(layout.first_position + layout.length, kMost);
  }

  __device__ uint32_t position(uint32_t row) const { return first_position + row % length; }
  __device__ int32_t token(uint32_t row) const {
    const int32_t token = data[row];
    trap_unless(0 <= token && token < vocabulary);
    return token;
  }

  const int32_t* data;
  int64_t vocabulary;
  int64_t width;  // of a row
  uint32_t rows;
  uint32_t length;
  uint32_t first_position;
};

struct Embed {
  static constexpr int kChunk = kChunkOfFloats;

  __device__ void operator()(const ChunkPosition& at) const {
    const uint32_t position = tokens.position(at.row);
    float values[kChunk];
    load_chunk(table + tokens.token(at.row) * tokens.width + at.column, at.count, at.whole, values);
    if (axes.count > 0 && at.whole) {
      float offsets[kChunk];
      load_chunk(axes.of(at.column).at(position, at.column), at.count, true, offsets);
#pragma unroll
      for (int i = 0; i < kChunk; ++i) values[i] += offsets[i];
    } else if (axes.count > 0) {
#pragma unroll
      for (int i = 0; i < kChunk; ++i) {
        if (i < at.count) values[i] += *axes.of(at.column + i).at(position, at.column + i);
      }
    }
    store_chunk(y + at.at, at.count, at.whole, values);
  }

  Tokens tokens;
  const float* table;
  float* y;
  Axes<float> axes;
};

/// Every token adds its terms on its own.
struct EmbedBackwardExact {
  static constexpr int kChunk = kChunkOfFloats;

  __device__ void operator()(const ChunkPosition& at) const {
    const uint32_t position = tokens.position(at.row);
    int64_t* const of_token = dtable + tokens.token(at.row) * tokens.width;
    float values[kChunk];
    load_chunk(dy + at.at, at.count, at.whole, values);
    int overflowed = 0;
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      if (i >= at.count) continue;
      const int64_t column = at.column + i;
      bool fault = false;
      const long long term = to_sum_term(static_cast<double>(values[i]), limit.limit, &fault);
      overflowed += fault ? 1 : 0;
      if (term == 0) continue;
      add_atomically(of_token + column, term);
      if (daxes.count > 0) add_atomically(daxes.of(column).at(position, column), term);
    }
    count_faults(overflowed * (daxes.count > 0 ? 2 : 1), limit.faults, kSumOverflowed);
  }

  Tokens tokens;
  const float* dy;
  int64_t* dtable;
  Axes<int64_t> daxes;
  SumLimit limit;
};

constexpr int kThreads = 128;
constexpr int kResidentBlocks = 8;  // of a multiprocessor: up to 64 registers for a thread
constexpr int kStripChunks = 4;
constexpr int kStrip = kWarp * kChunkOfFloats * kStripChunks;  // columns of a warp

/// Which row of a table each token adds to.
struct TableRow {
  __device__ int64_t operator()(uint32_t row) const {
    return stride == 0 ? int64_t{tokens.data[row]}
                       : int64_t{tokens.position(row) / stride % extent};
  }

  Tokens tokens;
  uint32_t stride = 0;  // of an axis; 0 for the table of the tokens
  uint32_t extent = 1;
};

/// A warp for each row of a table and strip of its columns walks over the tokens in their order.
/// `dy` begins at the table's first column.
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    embed_backward_in_order(TableRow table_row, const float* dy, float* dtable, int64_t extent,
                            int64_t width, bool whole) {
  const int64_t warp = int64_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
  const uint32_t lane = threadIdx.x % kWarp;
  const int64_t strips = divide_up(width, kStrip);
  const int64_t mine = warp / strips;
  if (mine >= extent) return;
  const int64_t first = warp % strips * kStrip + lane * kChunkOfFloats;
  const auto column = [&](int k) { return first + k * kWarp * kChunkOfFloats; };
  const auto count = [&](int k) {
    const int64_t rest = width - column(k);
    return rest <= 0 ? 0 : rest < kChunkOfFloats ? static_cast<int>(rest) : kChunkOfFloats;
  };
  float sums[kStripChunks][kChunkOfFloats];
#pragma unroll
  for (int k = 0; k < kStripChunks; ++k) {
    if (count(k) > 0) load_chunk(dtable + mine * width + column(k), count(k), whole, sums[k]);
  }
  const Tokens& tokens = table_row.tokens;
  for (uint32_t base = 0; base < tokens.rows; base += kWarp) {
    const uint32_t row = base + lane;
    const bool adds = row < tokens.rows && table_row(row) == mine;
    for (unsigned left = __ballot_sync(kFullWarp, adds); left != 0; left &= left - 1) {
      const int64_t from = int64_t{base + __ffs(left) - 1} * tokens.width;
#pragma unroll
      for (int k = 0; k < kStripChunks; ++k) {
        if (count(k) == 0) continue;
        float values[kChunkOfFloats];
        load_chunk(dy + from + column(k), count(k), whole, values);
#pragma unroll
        for (int i = 0; i < kChunkOfFloats; ++i) sums[k][i] += values[i];
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kStripChunks; ++k) {
    if (count(k) > 0) store_chunk(dtable + mine * width + column(k), count(k), whole, sums[k]);
  }
}

void add_in_order(Runtime& runtime, const TableRow& table_row, const float* dy,
                  const View& gradient) {
  const int64_t extent = gradient.shape()[0];
  const int64_t width = gradient.shape()[1];
  const bool whole = whole_chunks(width, kChunkOfFloats, {dy, gradient.raw()}) &&
                     table_row.tokens.width % kChunkOfFloats == 0;
  const int64_t warps = extent * divide_up(width, kStrip);
  launch(runtime, embed_backward_in_order,
         dim3(static_cast<uint32_t>(divide_up(warps, kThreads / kWarp))), dim3(kThreads), 0,
         table_row, dy, gradient.data<float>(), extent, width, whole);
}

}  // namespace

void embed(Runtime& runtime, const EmbedArgs& args) {
  CHECK_EQ(args.table.shape().rank(), 2);
  const int64_t vocabulary = args.table.shape()[0];
  const int64_t width = args.table.shape()[1];
  check_view(args.tokens, DType::kInt32, {args.layout.rows()});
  check_view(args.table, DType::kFloat32, args.table.shape());
  check_view(args.y, DType::kFloat32, {args.layout.rows(), width});
  for (const View& axis : args.axes) check_view(axis, DType::kFloat32, axis.shape());
  check_axes(args.layout, args.axes, width);

  const Tokens tokens(args.layout, args.tokens, vocabulary, width);
  const Axes<float> axes(args.axes);
  const bool whole =
      axes.whole() && whole_chunks(width, kChunkOfFloats, {args.table.raw(), args.y.raw()});
  for_chunks(runtime, args.layout.rows(), width, whole,
             Embed{.tokens = tokens,
                   .table = args.table.data<float>(),
                   .y = args.y.data<float>(),
                   .axes = axes});
}

void embed_backward(Runtime& runtime, const EmbedBackwardArgs& args) {
  CHECK_EQ(args.dtable.shape().rank(), 2);
  const int64_t vocabulary = args.dtable.shape()[0];
  const int64_t width = args.dtable.shape()[1];
  check_view(args.tokens, DType::kInt32, {args.layout.rows()});
  check_view(args.dy, DType::kFloat32, {args.layout.rows(), width});
  check_gradient(args.dtable, args.dtable.shape(), args.sum);
  for (const View& daxis : args.daxes) {
    check_gradient(daxis, daxis.shape(), args.sum);
    CHECK_EQ(daxis.dtype(), args.dtable.dtype());
  }
  check_axes(args.layout, args.daxes, width);

  const Tokens tokens(args.layout, args.tokens, vocabulary, width);
  const float* const dy = args.dy.data<float>();
  if (args.dtable.dtype() == DType::kInt64) {
    for_chunks(runtime, args.layout.rows(), width, whole_chunks(width, kChunkOfFloats, {dy}),
               EmbedBackwardExact{.tokens = tokens,
                                  .dy = dy,
                                  .dtable = args.dtable.data<int64_t>(),
                                  .daxes = Axes<int64_t>(args.daxes),
                                  .limit = SumLimit(args.sum)});
    return;
  }
  if (tokens.rows == 0) return;
  add_in_order(runtime, {.tokens = tokens}, dy, args.dtable);
  const Axes<float> axes(args.daxes);
  for (int a = 0; a < axes.count; ++a) {
    const Axis<float>& axis = axes.axis[a];
    add_in_order(runtime, {.tokens = tokens, .stride = axis.stride, .extent = axis.extent},
                 dy + axis.column, args.daxes[static_cast<size_t>(a)]);
  }
}

}  // namespace reformer::cuda
