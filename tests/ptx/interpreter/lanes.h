// How instructions work on the 32 lanes of a warp. Registers hold values in the low bits of 64, the
// rest 0.
#pragma once

#include <bit>
#include <type_traits>

#include "tests/ptx/interpreter/floats.h"
#include "tests/ptx/interpreter/types.h"
#include "tests/ptx/interpreter/warp.h"

namespace reformer::ptx {

template <class X>
X as(u64 bits) {
  if constexpr (std::is_same_v<X, float>) {
    return float_of(bits);
  } else if constexpr (std::is_same_v<X, double>) {
    return double_of(bits);
  } else {
    return static_cast<X>(bits);
  }
}

template <class X>
u64 bits(X value) {
  if constexpr (std::is_floating_point_v<X>) {
    return bits_of(value);
  } else {
    return static_cast<std::make_unsigned_t<X>>(value);
  }
}

// Calls f(lane) for the lanes of a mask. The loop over all of them is written out so that it can be
// vectorised.
template <class F>
inline void for_lanes(LaneMask mask, F f) {
  if (mask == kAllLanes) {
#pragma GCC ivdep
    for (int lane = 0; lane < kLanes; ++lane) f(lane);
  } else {
    for (; mask != 0; mask &= mask - 1) f(std::countr_zero(mask));
  }
}

inline bool holds(LaneMask mask, int lane) {
  return (mask >> lane & 1) != 0;
}
inline int first_lane(LaneMask mask) {
  return std::countr_zero(mask);
}

// The lanes of a source operand.
class Source {
 public:
  Source(Warp& warp, const Operand& operand) : values_(warp.lanes(operand, scratch_)) {}
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  u64 operator[](int lane) const { return values_[lane]; }
  const u64* data() const { return values_; }

 private:
  LaneValues scratch_;
  const u64* values_;
};

// A predicate source, with its negation.
class PredicateSource {
 public:
  PredicateSource(Warp& warp, const Operand& operand)
      : source_(warp, operand), negated_(operand.negated ? 1 : 0) {}
  bool operator[](int lane) const { return ((source_[lane] ^ negated_) & 1) != 0; }

 private:
  Source source_;
  u64 negated_;
};

// d = f(a), d = f(a, b), d = f(a, b, c) in the type X.
template <class X, class F>
void unary(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]);
  const u64* a = source_a.data();
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [=](int l) { d[l] = bits<X>(F{}(as<X>(a[l]))); });
}

template <class X, class F>
void binary(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]), source_b(warp, in.operands[2]);
  const u64* a = source_a.data();
  const u64* b = source_b.data();
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [=](int l) { d[l] = bits<X>(F{}(as<X>(a[l]), as<X>(b[l]))); });
}

template <class X, class F>
void ternary(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]), source_b(warp, in.operands[2]),
      source_c(warp, in.operands[3]);
  const u64* a = source_a.data();
  const u64* b = source_b.data();
  const u64* c = source_c.data();
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [=](int l) { d[l] = bits<X>(F{}(as<X>(a[l]), as<X>(b[l]), as<X>(c[l]))); });
}

// Calls `make` with a value of the C++ type that stands for a PTX integer type
// (std::type_identity), and returns the handler that it makes.
template <class Make>
Handler for_integer(Type type, Make make) {
  switch (type) {
    case Type::kU8:
    case Type::kB8:
      return make(std::type_identity<u8>{});
    case Type::kU16:
    case Type::kB16:
      return make(std::type_identity<u16>{});
    case Type::kU32:
    case Type::kB32:
      return make(std::type_identity<u32>{});
    case Type::kU64:
    case Type::kB64:
      return make(std::type_identity<u64>{});
    case Type::kS8:
      return make(std::type_identity<s8>{});
    case Type::kS16:
      return make(std::type_identity<s16>{});
    case Type::kS32:
      return make(std::type_identity<s32>{});
    case Type::kS64:
      return make(std::type_identity<s64>{});
    default:
      return nullptr;
  }
}

// The handlers of unary<X, F<X>> and so on for a PTX integer type.
template <template <class> class F>
Handler unary_for(Type type) {
  return for_integer(type, [](auto tag) -> Handler {
    using X = typename decltype(tag)::type;
    return &unary<X, F<X>>;
  });
}

template <template <class> class F>
Handler binary_for(Type type) {
  return for_integer(type, [](auto tag) -> Handler {
    using X = typename decltype(tag)::type;
    return &binary<X, F<X>>;
  });
}

template <template <class> class F>
Handler ternary_for(Type type) {
  return for_integer(type, [](auto tag) -> Handler {
    using X = typename decltype(tag)::type;
    return &ternary<X, F<X>>;
  });
}

}  // namespace reformer::ptx
