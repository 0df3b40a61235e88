// The types of PTX operands.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace reformer::ptx {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;
__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 s128;

enum class Type : u8 {
  kNone,
  kU8,
  kU16,
  kU32,
  kU64,
  kS8,
  kS16,
  kS32,
  kS64,
  kB8,
  kB16,
  kB32,
  kB64,
  kB128,
  kPredicate,
  kF16,
  kF16x2,
  kBf16,
  kBf16x2,
  kTf32,
  kF32,
  kF64,
};

// "f32" → kF32; nothing for what is no type.
std::optional<Type> type_named(std::string_view name);

constexpr int bytes_of(Type type) {
  switch (type) {
    case Type::kU8:
    case Type::kS8:
    case Type::kB8:
    case Type::kPredicate:
      return 1;
    case Type::kU16:
    case Type::kS16:
    case Type::kB16:
    case Type::kF16:
    case Type::kBf16:
      return 2;
    case Type::kU64:
    case Type::kS64:
    case Type::kB64:
    case Type::kF64:
      return 8;
    case Type::kB128:
      return 16;
    default:
      return 4;
  }
}

constexpr bool is_float(Type type) {
  return type >= Type::kF16;
}
constexpr bool is_signed(Type type) {
  return type >= Type::kS8 && type <= Type::kS64;
}
constexpr bool is_packed(Type type) {
  return type == Type::kF16x2 || type == Type::kBf16x2;
}

// The lowest 8·bytes bits, for 1 to 8 bytes.
constexpr u64 low_bytes(int bytes) {
  return bytes >= 8 ? ~u64{0} : (u64{1} << (8 * bytes)) - 1;
}

enum class Rounding : u8 { kNearest, kZero, kDown, kUp };

enum class Space : u8 { kGeneric, kGlobal, kConstant, kShared, kLocal, kParameter };

}  // namespace reformer::ptx
