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

/// The rows of some tokens of one sample and head in a [rows, H·D] activation.
struct TokenRows {
  float* base = nullptr;  // the row of position 0
  int64_t stride = 0;     // between positions
  const int32_t* positions = nullptr;
  int64_t count = 0;
  int64_t width = 0;  // D
  float scale = 1;
};

/// tile[i, :] = scale · (row of positions[i]), padded with 0.
void gather_rows(const TokenRows& from, float* tile);

/// Row of positions[i] = scale · tile[i, :], or += if `add`.
void scatter_rows(const float* tile, const TokenRows& to, bool add);

/// [kTileLanes, width] to [width, kTileLanes]. REQUIRES: width % kTileLanes == 0.
void transpose_lanes(const float* rows, int64_t width, float* columns);

/// dots[i] = a[i, :]·b[i, :]
void dot_rows(const float* a, const float* b, int64_t count, int64_t width, float* dots);

/// rows[i, :] *= factors[i], width padded; −0 becomes 0, so that the sign of a sum that underflowed
/// does not tell whether zeros were added to it afterwards.
void scale_rows(const float* factors, int64_t count, int64_t width, float* rows);

/// The gradient of u = x / ‖x‖, in place, width padded: g = (g − (g·u) u) / ‖x‖.
void unit_rows_backward(const float* units, const float* inverse_norms, int64_t count,
                        int64_t width, float* gradients);

}  // namespace reformer::cpu
