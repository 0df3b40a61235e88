// The number formats of matrices, read as float and rounded from float to nearest even.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

namespace reformer::ptx {

enum class ElementType : uint8_t { kFloat32, kBFloat16, kFloat16 };

inline int64_t bytes_of(ElementType type) {
  return type == ElementType::kFloat32 ? 4 : 2;
}

inline float float_from_bfloat16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

/// Every NaN becomes the device's one, 0x7fff.
inline uint16_t bfloat16_from_float(float value) {
  if (value != value) return 0x7fff;
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline float load_element(const std::byte* at, ElementType type) {
  if (type == ElementType::kFloat32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return type == ElementType::kBFloat16 ? float_from_bfloat16(bits) : _cvtsh_ss(bits);
}

inline void store_element(std::byte* at, ElementType type, float value) {
  if (type == ElementType::kFloat32) {
    std::memcpy(at, &value, sizeof value);
    return;
  }
  const uint16_t bits = type == ElementType::kBFloat16
                            ? bfloat16_from_float(value)
                            : static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
  std::memcpy(at, &bits, sizeof bits);
}

}  // namespace reformer::ptx
