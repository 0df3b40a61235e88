// The two fixed-point formats that make sums exact.
//
//   FIXED32   residual streams: two's complement in uint32_t, step 2^-18, range ±8192. Added with
//             wrap-around, so x + f − f == x for every x and f, and the reversible stack rebuilds
//             the very bits of the forward pass.
//   int64     sums of gradients and losses: step 2^-44. Integer addition is associative, so the
//             order of leaves, micro-batches and ranks does not change a bit.
//
// Both conversions round to nearest, ties to even.
#pragma once

#include <cmath>
#include <cstdint>

namespace reformer {

inline constexpr float kStreamStep = 0x1p-18f;
inline constexpr float kStreamScale = 0x1p18f;
inline constexpr double kSumStep = 0x1p-44;
inline constexpr double kSumScale = 0x1p44;

inline float stream_to_float(uint32_t x) {
  return static_cast<float>(static_cast<int32_t>(x)) * kStreamStep;
}

/// Saturates at the ends of the range; NaN becomes 0. `*saturated` is set in both cases and is
/// otherwise left alone.
inline uint32_t stream_from_float(float value, bool* saturated) {
  constexpr float kLimit = 0x1p31f;
  const float scaled = std::nearbyint(value * kStreamScale);
  if (scaled >= -kLimit && scaled < kLimit) [[likely]] {
    return static_cast<uint32_t>(static_cast<int32_t>(scaled));
  }
  *saturated = true;
  if (std::isnan(scaled)) return 0;
  return scaled < 0 ? 0x80000000u : 0x7fffffffu;
}

/// One term of an exact sum that has at most 2^62 / limit terms. A term with |q| >= limit or NaN
/// becomes 0 and sets `*overflowed`.
inline int64_t sum_term(double value, double limit, bool* overflowed) {
  const double scaled = std::nearbyint(value * kSumScale);
  if (std::abs(scaled) < limit) [[likely]]
    return static_cast<int64_t>(scaled);
  *overflowed = true;
  return 0;
}

}  // namespace reformer
