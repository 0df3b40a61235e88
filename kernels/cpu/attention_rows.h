// Rows of tokens in and out of tiles, and the vector code on single rows.
#pragma once

#include <cstdint>

namespace reformer::cpu {

/// One vector of AVX-512, two of AVX2.
inline constexpr int64_t kTileLanes = 16;

/// The width of a row in a tile; what lies beyond the row's own width is 0.
constexpr int64_t padded_width(int64_t width) {
  return (width + kTileLanes - 1) / kTileLanes * kTileLanes;
}

/// Some rows of memory, such as those of tokens of one head in a [rows, H·D] activation.
struct TokenRows {
  float* base = nullptr;          // of row 0
  int64_t stride = 0;             // between rows
  const int32_t* rows = nullptr;  // which rows; absent: [0, count)
  int64_t count = 0;
  int64_t width = 0;  // D
  float scale = 1;

  float* row(int64_t i) const { return base + (rows == nullptr ? i : rows[i]) * stride; }
  /// `part` of them, from `first` on.
  TokenRows slice(int64_t first, int64_t part) const {
    TokenRows slice = *this;
    slice.count = part;
    if (rows == nullptr) {
      slice.base += first * stride;
    } else {
      slice.rows += first;
    }
    return slice;
  }
};

/// tile[i, :] = scale · row(i), padded with 0.
void gather_rows(const TokenRows& from, float* tile);

/// row(i) = scale · tile[i, :], or += if `add`. −0 is taken as 0, so that the sign of a sum that
/// underflowed does not tell whether zeros were added to it.
void scatter_rows(const float* tile, const TokenRows& to, bool add);

/// [kTileLanes, width] to [width, kTileLanes]. REQUIRES: width % kTileLanes == 0.
void transpose_lanes(const float* rows, int64_t width, float* columns);

/// squares[lane] = Σ columns[:, lane]², columns as transpose_lanes makes them.
void square_lanes(const float* columns, int64_t width, float* squares);

/// dots[i] = a[i, :]·b[i, :]
void dot_rows(const float* a, const float* b, int64_t count, int64_t width, float* dots);

/// rows[i, :] *= factors[i], width padded.
void scale_rows(const float* factors, int64_t count, int64_t width, float* rows);

struct ScaledRows {
  const float* rows = nullptr;     // [count, width]
  const float* factors = nullptr;  // [count]
};

/// sums[i, :] = a.factors[i] · a.rows[i, :] + b.factors[i] · b.rows[i, :], width padded; with
/// factors of 1, the sum rounded once. `sums` may alias rows.
void add_scaled_rows(const ScaledRows& a, const ScaledRows& b, int64_t count, int64_t width,
                     float* sums);

/// The gradient of u = x / ‖x‖, in place, width padded: g = (g − (g·u) u) / ‖x‖.
void unit_rows_backward(const float* units, const float* inverse_norms, int64_t count,
                        int64_t width, float* gradients);

}  // namespace reformer::cpu
