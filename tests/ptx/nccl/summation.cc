#include "tests/ptx/nccl/summation.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

namespace reformer::ptx::nccl {
namespace {

/// Elements may lie at any address: what NCCL takes need not be aligned for this processor.
template <typename T, typename Add>
void add_each(void* sum, const void* term, size_t count, const Add& add_two) {
  auto* const to = static_cast<std::byte*>(sum);
  const auto* const from = static_cast<const std::byte*>(term);
  for (size_t i = 0; i < count; ++i) {
    T a;
    T b;
    std::memcpy(&a, to + i * sizeof(T), sizeof(T));
    std::memcpy(&b, from + i * sizeof(T), sizeof(T));
    a = add_two(a, b);
    std::memcpy(to + i * sizeof(T), &a, sizeof(T));
  }
}

/// Integers of either sign have the same sum, taken without a sign.
template <typename T>
void add_wrapping(void* sum, const void* term, size_t count) {
  add_each<T>(sum, term, count, [](T a, T b) { return static_cast<T>(a + b); });
}

uint16_t add_half(uint16_t a, uint16_t b) {
  return static_cast<uint16_t>(_cvtss_sh(_cvtsh_ss(a) + _cvtsh_ss(b), _MM_FROUND_TO_NEAREST_INT));
}

float from_bfloat16(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

uint16_t to_bfloat16(float value) {
  if (std::isnan(value)) return 0x7fff;
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace

void add(void* sum, const void* term, size_t count, ncclDataType_t dtype) {
  switch (dtype) {
    case ncclInt8:
    case ncclUint8:
      return add_wrapping<uint8_t>(sum, term, count);
    case ncclInt32:
    case ncclUint32:
      return add_wrapping<uint32_t>(sum, term, count);
    case ncclInt64:
    case ncclUint64:
      return add_wrapping<uint64_t>(sum, term, count);
    case ncclFloat16:
      return add_each<uint16_t>(sum, term, count, add_half);
    case ncclFloat32:
      return add_each<float>(sum, term, count, [](float a, float b) { return a + b; });
    case ncclFloat64:
      return add_each<double>(sum, term, count, [](double a, double b) { return a + b; });
    case ncclBfloat16:
      return add_each<uint16_t>(sum, term, count, [](uint16_t a, uint16_t b) {
        return to_bfloat16(from_bfloat16(a) + from_bfloat16(b));
      });
    default:
      return;
  }
}

}  // namespace reformer::ptx::nccl
