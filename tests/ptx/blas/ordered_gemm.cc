#include "tests/ptx/blas/ordered_gemm.h"

#include <algorithm>
#include <vector>

#include <immintrin.h>

namespace reformer::ptx {
namespace {

// A tile of D is held in 12 of the 16 vector registers: two of rows, one for each of six columns.
constexpr int64_t kTileRows = 16;
constexpr int64_t kTileColumns = 6;

/// Multiply-adds from which on threads are worth their start.
constexpr double kWorthThreads = 4e6;

void in_order(int64_t count, const std::function<void(int64_t)>& body) {
  for (int64_t i = 0; i < count; ++i) body(i);
}

int64_t panels(int64_t size, int64_t panel) {
  return (size + panel - 1) / panel;
}

/// panel[l][i] = element (first + i, l) for i < width, 0 past `size`. A column of B is a row of its
/// transpose.
void pack(const ConstMatrix& matrix, int64_t first, int64_t size, int64_t width, int64_t k,
          float* panel) {
  const int64_t filled = std::min(width, size - first);
  const int64_t bytes = bytes_of(matrix.type);
  for (int64_t l = 0; l < k; ++l, panel += width) {
    const std::byte* at =
        matrix.data + (first * matrix.row_stride + l * matrix.column_stride) * bytes;
    for (int64_t i = 0; i < filled; ++i) {
      panel[i] = load_element(at + i * matrix.row_stride * bytes, matrix.type);
    }
    std::fill(panel + filled, panel + width, 0.0f);
  }
}

/// tile[j][i] += Σ_l a[l][i] · b[l][j], summed in the order of l.
void multiply(int64_t k, const float* a, const float* b, float* tile) {
  __m256 sum[kTileColumns][2];
  for (auto& pair : sum) pair[0] = pair[1] = _mm256_setzero_ps();
  for (int64_t l = 0; l < k; ++l, a += kTileRows, b += kTileColumns) {
    const __m256 low = _mm256_loadu_ps(a);
    const __m256 high = _mm256_loadu_ps(a + 8);
#pragma GCC unroll 6
    for (int64_t j = 0; j < kTileColumns; ++j) {
      const __m256 factor = _mm256_broadcast_ss(b + j);
      sum[j][0] = _mm256_fmadd_ps(low, factor, sum[j][0]);
      sum[j][1] = _mm256_fmadd_ps(high, factor, sum[j][1]);
    }
  }
  for (int64_t j = 0; j < kTileColumns; ++j) {
    for (int64_t half = 0; half < 2; ++half) {
      float* const at = tile + j * kTileRows + half * 8;
      _mm256_storeu_ps(at, _mm256_add_ps(_mm256_loadu_ps(at), sum[j][half]));
    }
  }
}

/// tile[j][i] = Σ_l a[l][i] · b[l][j].
void multiply_parts(const GemmArgs& args, const float* a, const float* b, float* tile) {
  std::fill(tile, tile + kTileColumns * kTileRows,
            -0.0f);  // so that the first sum is kept as it is
  for (int64_t part = 0; part < args.k_parts; ++part) {
    const int64_t begin = args.k * part / args.k_parts;
    const int64_t end = args.k * (part + 1) / args.k_parts;
    multiply(end - begin, a + begin * kTileRows, b + begin * kTileColumns, tile);
  }
}

float finish(const GemmArgs& args, int64_t i, int64_t j, float product) {
  float value = args.alpha * product;
  if (args.beta != 0) {
    const ConstMatrix& c = args.c;
    const int64_t at = (i * c.row_stride + j * c.column_stride) * bytes_of(c.type);
    value += args.beta * load_element(c.data + at, c.type);
  }
  if (args.bias != nullptr) {
    value += load_element(args.bias + i * bytes_of(args.bias_type), args.bias_type);
  }
  return args.relu && value < 0 ? 0.0f : value;
}

void store(const GemmArgs& args, int64_t row, int64_t column, const float* tile) {
  const Matrix& d = args.d;
  for (int64_t j = 0; j < std::min(kTileColumns, args.n - column); ++j) {
    for (int64_t i = 0; i < std::min(kTileRows, args.m - row); ++i) {
      const int64_t at = (row + i) * d.row_stride + (column + j) * d.column_stride;
      store_element(d.data + at * bytes_of(d.type), d.type,
                    finish(args, row + i, column + j, tile[j * kTileRows + i]));
    }
  }
}

}  // namespace

void gemm(const GemmArgs& args, const ParallelFor& parallel_for) {
  const int64_t row_panels = panels(args.m, kTileRows);
  const int64_t column_panels = panels(args.n, kTileColumns);
  const ConstMatrix b_transposed{args.b.data, args.b.type, args.b.column_stride, args.b.row_stride};
  const double work = static_cast<double>(args.m) * static_cast<double>(args.n * args.k);
  const ParallelFor for_each = work < kWorthThreads ? in_order : parallel_for;
  std::vector<float> packed_b(static_cast<size_t>(column_panels * kTileColumns * args.k));
  const auto panel_of_b = [&](int64_t panel) {
    return packed_b.data() + panel * kTileColumns * args.k;
  };
  for_each(column_panels, [&](int64_t panel) {
    pack(b_transposed, panel * kTileColumns, args.n, kTileColumns, args.k, panel_of_b(panel));
  });
  for_each(row_panels, [&](int64_t row_panel) {
    std::vector<float> packed_a(static_cast<size_t>(kTileRows * args.k));
    pack(args.a, row_panel * kTileRows, args.m, kTileRows, args.k, packed_a.data());
    float tile[kTileColumns * kTileRows];
    for (int64_t panel = 0; panel < column_panels; ++panel) {
      multiply_parts(args, packed_a.data(), panel_of_b(panel), tile);
      store(args, row_panel * kTileRows, panel * kTileColumns, tile);
    }
  });
}

}  // namespace reformer::ptx
