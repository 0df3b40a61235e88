#include "tests/ptx/interpreter/types.h"

#include <unordered_map>

namespace reformer::ptx {

std::optional<Type> type_named(std::string_view name) {
  static const std::unordered_map<std::string_view, Type> types = {
      {"u8", Type::kU8},       {"u16", Type::kU16},        {"u32", Type::kU32},
      {"u64", Type::kU64},     {"s8", Type::kS8},          {"s16", Type::kS16},
      {"s32", Type::kS32},     {"s64", Type::kS64},        {"b8", Type::kB8},
      {"b16", Type::kB16},     {"b32", Type::kB32},        {"b64", Type::kB64},
      {"b128", Type::kB128},   {"pred", Type::kPredicate}, {"f16", Type::kF16},
      {"f16x2", Type::kF16x2}, {"bf16", Type::kBf16},      {"bf16x2", Type::kBf16x2},
      {"tf32", Type::kTf32},   {"f32", Type::kF32},        {"f64", Type::kF64},
  };
  const auto found = types.find(name);
  if (found == types.end()) return std::nullopt;
  return found->second;
}

}  // namespace reformer::ptx
