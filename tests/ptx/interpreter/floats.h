// Conversions between the float formats that tensor cores know and the ones that the CPU has.
#pragma once

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>

#include <immintrin.h>

#include "tests/ptx/interpreter/types.h"

namespace reformer::ptx {

inline float half_to_float(u64 bits) {
  return _cvtsh_ss(static_cast<u16>(bits));
}
inline float bfloat_to_float(u64 bits) {
  return std::bit_cast<float>(static_cast<u32>(bits & 0xffff) << 16);
}
inline float float_of(u64 bits) {
  return std::bit_cast<float>(static_cast<u32>(bits));
}
inline double double_of(u64 bits) {
  return std::bit_cast<double>(bits);
}
inline u64 bits_of(float value) {
  return std::bit_cast<u32>(value);
}
inline u64 bits_of(double value) {
  return std::bit_cast<u64>(value);
}

// A float next to `value`, with the last bit set where it is inexact: rounding it once more, to
// fewer bits and in any direction, gives what rounding `value` itself would give.
inline float rounded_to_odd(double value) {
  const float nearest = static_cast<float>(value);
  if (std::isnan(value) || static_cast<double>(nearest) == value) return nearest;
  u32 bits = std::bit_cast<u32>(nearest);
  if (std::fabs(static_cast<double>(nearest)) > std::fabs(value)) --bits;
  return std::bit_cast<float>(bits | 1);
}

// Rounds as the CPU's current rounding mode says.
inline u16 to_half(double value) {
  if (std::isnan(value)) return 0x7fff;
  return static_cast<u16>(_cvtss_sh(rounded_to_odd(value), _MM_FROUND_CUR_DIRECTION));
}

// Rounds to nearest even, or towards zero where that is the CPU's current rounding mode.
inline u16 to_bfloat(double value) {
  if (std::isnan(value)) return 0x7fff;
  const u32 bits = std::bit_cast<u32>(rounded_to_odd(value));
  if (std::fegetround() == FE_TOWARDZERO) return static_cast<u16>(bits >> 16);
  return static_cast<u16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// cvt.rna.tf32.f32: to nearest, ties away from zero; the lower 13 bits are 0.
inline u32 to_tf32(u32 bits) {
  const bool finite = (bits & 0x7f800000) != 0x7f800000;
  return finite ? (bits + 0x1000) & ~u32{0x1fff} : bits;
}

inline float flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0F, value) : value;
}

// .sat: to [0, 1], NaN to 0.
template <class X>
X saturated(X value) {
  return std::isnan(value) ? X{0} : std::min(X{1}, std::max(X{0}, value));
}

// Sets the CPU's rounding mode for the time that it lives.
class RoundingScope {
 public:
  explicit RoundingScope(Rounding rounding) : old_(std::fegetround()) {
    if (rounding != Rounding::kNearest) std::fesetround(mode(rounding));
  }
  ~RoundingScope() { std::fesetround(old_); }
  RoundingScope(const RoundingScope&) = delete;
  RoundingScope& operator=(const RoundingScope&) = delete;

 private:
  static int mode(Rounding rounding) {
    switch (rounding) {
      case Rounding::kZero:
        return FE_TOWARDZERO;
      case Rounding::kDown:
        return FE_DOWNWARD;
      case Rounding::kUp:
        return FE_UPWARD;
      default:
        return FE_TONEAREST;
    }
  }
  int old_;
};

}  // namespace reformer::ptx
