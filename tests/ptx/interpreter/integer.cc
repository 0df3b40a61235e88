// Integer arithmetic: add, sub, mul, mad, div, rem, min, max, abs, neg, sad, dp2a, dp4a.
#include <algorithm>
#include <limits>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/lanes.h"

namespace reformer::ptx {
namespace {

// Two's complement without undefined overflow.
template <class X>
constexpr X wrapped(u64 value) {
  return static_cast<X>(value);
}

template <class X>
struct Add {
  constexpr X operator()(X x, X y) const {
    return wrapped<X>(static_cast<u64>(x) + static_cast<u64>(y));
  }
};
template <class X>
struct Subtract {
  constexpr X operator()(X x, X y) const {
    return wrapped<X>(static_cast<u64>(x) - static_cast<u64>(y));
  }
};
template <class X>
struct Multiply {
  constexpr X operator()(X x, X y) const {
    return wrapped<X>(static_cast<u64>(x) * static_cast<u64>(y));
  }
};
template <class X>
struct MultiplyAdd {
  constexpr X operator()(X x, X y, X z) const {
    return wrapped<X>(static_cast<u64>(x) * static_cast<u64>(y) + static_cast<u64>(z));
  }
};
template <class X>
struct Minimum {
  constexpr X operator()(X x, X y) const { return x < y ? x : y; }
};
template <class X>
struct Maximum {
  constexpr X operator()(X x, X y) const { return x > y ? x : y; }
};
template <class X>
struct Negate {
  constexpr X operator()(X x) const { return wrapped<X>(0 - static_cast<u64>(x)); }
};
template <class X>
struct Magnitude {
  constexpr X operator()(X x) const { return x < X{0} ? wrapped<X>(0 - static_cast<u64>(x)) : x; }
};
template <class X>
struct Distance {
  constexpr X operator()(X x, X y, X z) const {
    const u64 a = static_cast<u64>(x), b = static_cast<u64>(y);
    return wrapped<X>(static_cast<u64>(z) + (x < y ? b - a : a - b));
  }
};

// A division by zero gives all ones, as the hardware does.
template <class X>
struct Divide {
  constexpr X operator()(X x, X y) const {
    if (y == X{0}) return static_cast<X>(-1);
    if (std::is_signed_v<X> && y == static_cast<X>(-1)) return wrapped<X>(0 - static_cast<u64>(x));
    return static_cast<X>(x / y);
  }
};
template <class X>
struct Remainder {
  constexpr X operator()(X x, X y) const {
    if (y == X{0}) return x;
    if (std::is_signed_v<X> && y == static_cast<X>(-1)) return 0;
    return static_cast<X>(x % y);
  }
};

constexpr s32 clamped(s64 value) {
  return static_cast<s32>(
      std::clamp<s64>(value, std::numeric_limits<s32>::min(), std::numeric_limits<s32>::max()));
}
struct AddSaturated {
  constexpr s32 operator()(s32 x, s32 y) const { return clamped(s64{x} + y); }
};
struct SubtractSaturated {
  constexpr s32 operator()(s32 x, s32 y) const { return clamped(s64{x} - y); }
};

// Twice as wide.
template <class X>
struct Wide;
template <>
struct Wide<u16> : std::type_identity<u32> {};
template <>
struct Wide<s16> : std::type_identity<s32> {};
template <>
struct Wide<u32> : std::type_identity<u64> {};
template <>
struct Wide<s32> : std::type_identity<s64> {};
template <>
struct Wide<u64> : std::type_identity<u128> {};
template <>
struct Wide<s64> : std::type_identity<s128> {};
template <class X>
using WideOf = typename Wide<X>::type;

template <class X>
constexpr WideOf<X> product(X x, X y) {
  return static_cast<WideOf<X>>(static_cast<WideOf<X>>(x) * static_cast<WideOf<X>>(y));
}
// No product of two u16 or s16 overflows an int, but of two u16 it would as an int.
template <>
constexpr u32 product<u16>(u16 x, u16 y) {
  return u32{x} * u32{y};
}

template <class X>
struct MultiplyHigh {
  constexpr X operator()(X x, X y) const {
    return static_cast<X>(product<X>(x, y) >> (8 * sizeof(X)));
  }
};
template <class X>
struct MultiplyAddHigh {
  constexpr X operator()(X x, X y, X z) const {
    return wrapped<X>(static_cast<u64>(MultiplyHigh<X>{}(x, y)) + static_cast<u64>(z));
  }
};

template <class X>
void multiply_wide(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]), source_b(warp, in.operands[2]);
  const u64* a = source_a.data();
  const u64* b = source_b.data();
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [=](int l) { d[l] = bits<WideOf<X>>(product<X>(as<X>(a[l]), as<X>(b[l]))); });
}

template <class X>
void multiply_add_wide(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]), source_b(warp, in.operands[2]),
      source_c(warp, in.operands[3]);
  const u64* a = source_a.data();
  const u64* b = source_b.data();
  const u64* c = source_c.data();
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [=](int l) {
    d[l] = bits(wrapped<WideOf<X>>(static_cast<u64>(product<X>(as<X>(a[l]), as<X>(b[l]))) + c[l]));
  });
}

// Arithmetic with the carry flag: add.cc, addc, sub.cc, subc, mad.lo.cc, madc.hi and so on. mode: 0
// add, 1 subtract, 2 multiply-add low, 3 multiply-add high. `flag`: the carry is read; `saturate`:
// it is written.
template <class X>
void with_carry(const Instruction& in, Warp& warp, LaneMask mask) {
  const bool multiplies = in.mode >= 2;
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]),
      c(warp, in.operands[multiplies ? 3 : 2]);
  u64* d = warp.slot(in.operands[0].slot);
  constexpr int kBits = 8 * sizeof(X);
  using U = std::make_unsigned_t<X>;
  for_lanes(mask, [&](int l) {
    u128 x = static_cast<U>(a[l]);
    const u128 y = static_cast<U>(multiplies ? c[l] : b[l]);
    if (in.mode == 2) x = static_cast<U>(Multiply<X>{}(as<X>(a[l]), as<X>(b[l])));
    if (in.mode == 3) x = static_cast<U>(MultiplyHigh<X>{}(as<X>(a[l]), as<X>(b[l])));
    const u128 carry = in.flag ? warp.carry[l] : 0;
    const u128 result = in.mode == 1 ? x - y - carry : x + y + carry;
    if (in.saturate) warp.carry[l] = static_cast<u64>(result >> kBits) & 1;
    d[l] = static_cast<U>(result);
  });
}

// mode: 0 low, 1 high. `flag`: d = a·b + c.
template <class X>
void multiply_24(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]),
      c(warp, in.operands[in.flag ? 3 : 2]);
  u64* d = warp.slot(in.operands[0].slot);
  const auto low = [](u64 value) {
    return static_cast<s64>(static_cast<X>(static_cast<X>(static_cast<u32>(value) << 8) >> 8));
  };
  for_lanes(mask, [&](int l) {
    const s64 result = low(a[l]) * low(b[l]) >> (in.mode == 1 ? 16 : 0);
    d[l] = static_cast<u32>(result) + (in.flag ? static_cast<u32>(c[l]) : 0);
    d[l] &= 0xffffffff;
  });
}

s32 element(u64 word, int shift, int width, bool is_signed_element) {
  const u32 value = static_cast<u32>(word >> shift) & static_cast<u32>((1 << width) - 1);
  if (!is_signed_element) return static_cast<s32>(value);
  return static_cast<s32>(value << (32 - width)) >> (32 - width);
}

void dot_4(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]), c(warp, in.operands[3]);
  u64* d = warp.slot(in.operands[0].slot);
  const bool a_signed = in.type == Type::kS32, b_signed = in.source == Type::kS32;
  for_lanes(mask, [&](int l) {
    u32 sum = static_cast<u32>(c[l]);
    for (int i = 0; i < 4; ++i) {
      sum +=
          static_cast<u32>(element(a[l], 8 * i, 8, a_signed) * element(b[l], 8 * i, 8, b_signed));
    }
    d[l] = sum;
  });
}

// `flag`: .hi, the upper two bytes of b.
void dot_2(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]), c(warp, in.operands[3]);
  u64* d = warp.slot(in.operands[0].slot);
  const bool a_signed = in.type == Type::kS32, b_signed = in.source == Type::kS32;
  for_lanes(mask, [&](int l) {
    u32 sum = static_cast<u32>(c[l]);
    for (int i = 0; i < 2; ++i) {
      sum += static_cast<u32>(element(a[l], 16 * i, 16, a_signed) *
                              element(b[l], 8 * i + (in.flag ? 16 : 0), 8, b_signed));
    }
    d[l] = sum;
  });
}

constexpr auto kWords = {Type::kU16, Type::kU32, Type::kU64, Type::kS16,
                         Type::kS32, Type::kS64, Type::kB32, Type::kB64};
constexpr auto kWideWords = {Type::kU32, Type::kU64, Type::kS32,
                             Type::kS64, Type::kB32, Type::kB64};

template <class Make>
Handler for_wide_integer(Type type, Make make) {
  return for_integer(type, [&](auto tag) -> Handler {
    using X = typename decltype(tag)::type;
    if constexpr (sizeof(X) >= 2) {
      return make(tag);
    } else {
      return nullptr;
    }
  });
}

void decode_carried(Decoding& d, u8 mode, bool reads, bool writes) {
  d.instruction.type = d.take_type(kWideWords);
  d.instruction.mode = mode;
  d.instruction.flag = reads;
  d.instruction.saturate = writes;
  d.instruction.handler = for_wide_integer(d.instruction.type, [](auto tag) -> Handler {
    return &with_carry<typename decltype(tag)::type>;
  });
}

void decode_add(Decoding& d) {
  d.operands(3, 3);
  const bool subtracts = d.statement.opcode.starts_with("sub");
  const bool reads = d.statement.opcode.ends_with("c");
  const bool writes = d.take("cc");
  if (reads || writes) return decode_carried(d, subtracts ? 1 : 0, reads, writes);
  if (d.take("sat")) {
    d.instruction.type = d.take_type({Type::kS32});
    d.instruction.handler =
        subtracts ? &binary<s32, SubtractSaturated> : &binary<s32, AddSaturated>;
    return;
  }
  const Type type = d.instruction.type = d.take_type(kWords);
  d.instruction.handler = subtracts ? binary_for<Subtract>(type) : binary_for<Add>(type);
}

void decode_multiply(Decoding& d) {
  d.operands(3, 3);
  const int part = d.take_one({"lo", "hi", "wide"});
  const Type type = d.instruction.type = d.take_type(kWords);
  if (part == 2 && bytes_of(type) == 8) d.refuse();
  d.instruction.handler = for_wide_integer(type, [&](auto tag) -> Handler {
    using X = typename decltype(tag)::type;
    using U = std::make_unsigned_t<X>;  // the lower half is the same, and faster
    if (part == 0) return &binary<U, Multiply<U>>;
    if (part == 1) return &binary<X, MultiplyHigh<X>>;
    if constexpr (sizeof(X) < 8) return &multiply_wide<X>;
    return nullptr;
  });
}

void decode_multiply_add(Decoding& d) {
  d.operands(4, 4);
  const int part = d.take_one({"lo", "hi", "wide"});
  const bool reads = d.statement.opcode == "madc";
  const bool writes = d.take("cc");
  if (reads || writes) {
    if (part == 2) d.refuse();
    return decode_carried(d, part == 0 ? 2 : 3, reads, writes);
  }
  const Type type = d.instruction.type = d.take_type(kWords);
  if (part == 2 && bytes_of(type) == 8) d.refuse();
  d.instruction.handler = for_wide_integer(type, [&](auto tag) -> Handler {
    using X = typename decltype(tag)::type;
    using U = std::make_unsigned_t<X>;
    if (part == 0) return &ternary<U, MultiplyAdd<U>>;
    if (part == 1) return &ternary<X, MultiplyAddHigh<X>>;
    if constexpr (sizeof(X) < 8) return &multiply_add_wide<X>;
    return nullptr;
  });
}

void decode_multiply_24(Decoding& d) {
  d.instruction.flag = d.statement.opcode == "mad24";
  d.operands(d.instruction.flag ? 4 : 3, d.instruction.flag ? 4 : 3);
  d.instruction.mode = static_cast<u8>(d.take_one({"lo", "hi"}));
  d.instruction.type = d.take_type({Type::kS32, Type::kU32});
  d.instruction.handler = d.instruction.type == Type::kS32 ? &multiply_24<s32> : &multiply_24<u32>;
}

void decode_divide(Decoding& d) {
  d.operands(3, 3);
  const Type type = d.instruction.type = d.take_type(kWords);
  d.instruction.handler = binary_for<Divide>(type);
}

void decode_remainder(Decoding& d) {
  d.operands(3, 3);
  const Type type = d.instruction.type = d.take_type(kWords);
  d.instruction.handler = binary_for<Remainder>(type);
}

void decode_minimum(Decoding& d) {
  d.operands(3, 3);
  const Type type = d.instruction.type = d.take_type(kWords);
  d.instruction.handler = binary_for<Minimum>(type);
}

void decode_maximum(Decoding& d) {
  d.operands(3, 3);
  const Type type = d.instruction.type = d.take_type(kWords);
  d.instruction.handler = binary_for<Maximum>(type);
}

void decode_magnitude(Decoding& d) {
  d.operands(2, 2);
  const Type type = d.instruction.type = d.take_type({Type::kS16, Type::kS32, Type::kS64});
  d.instruction.handler = unary_for<Magnitude>(type);
}

void decode_negate(Decoding& d) {
  d.operands(2, 2);
  const Type type = d.instruction.type = d.take_type({Type::kS16, Type::kS32, Type::kS64});
  d.instruction.handler = unary_for<Negate>(type);
}

void decode_sad(Decoding& d) {
  d.operands(4, 4);
  const Type type = d.instruction.type = d.take_type(kWords);
  d.instruction.handler = ternary_for<Distance>(type);
}

void decode_dot(Decoding& d) {
  d.operands(4, 4);
  if (d.statement.opcode == "dp2a") d.instruction.flag = d.take_one({"lo", "hi"}) == 1;
  d.instruction.type = d.take_type({Type::kU32, Type::kS32});
  d.instruction.source = d.take_type({Type::kU32, Type::kS32});
  d.instruction.handler = d.statement.opcode == "dp2a" ? &dot_2 : &dot_4;
}

}  // namespace

void add_integer_instructions(InstructionTable& table) {
  table["add"].add(decode_add, "{.cc}.type, type: u16 to s64; .sat.s32");
  table["sub"].add(decode_add, "{.cc}.type, type: u16 to s64; .sat.s32");
  table["mul"].add(decode_multiply, ".lo|.hi|.wide.type, type: u16 to s64");
  table["mad"].add(decode_multiply_add, ".lo|.hi|.wide{.cc}.type, type: u16 to s64");
  table["div"].add(decode_divide, ".type, type: u16 to s64");
  table["min"].add(decode_minimum, ".type, type: u16 to s64");
  table["max"].add(decode_maximum, ".type, type: u16 to s64");
  table["abs"].add(decode_magnitude, ".s16|.s32|.s64");
  table["neg"].add(decode_negate, ".s16|.s32|.s64");
  table["addc"].add(decode_add, "{.cc}.type, type: 32 or 64 bits");
  table["subc"].add(decode_add, "{.cc}.type, type: 32 or 64 bits");
  table["madc"].add(decode_multiply_add, ".lo|.hi{.cc}.type, type: 32 or 64 bits");
  table["mul24"].add(decode_multiply_24, ".lo|.hi.u32|.s32");
  table["mad24"].add(decode_multiply_24, ".lo|.hi.u32|.s32");
  table["rem"].add(decode_remainder, ".type, type: u16 to s64");
  table["sad"].add(decode_sad, ".type, type: u16 to s64");
  table["dp4a"].add(decode_dot, ".atype.btype, types: u32 or s32");
  table["dp2a"].add(decode_dot, ".lo|.hi.atype.btype, types: u32 or s32");
}

}  // namespace reformer::ptx
