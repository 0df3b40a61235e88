// cvt: between integers, floats, and the two.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/lanes.h"

namespace reformer::ptx {
namespace {

s64 sign_extended(u64 value, int bytes) {
  const int unused = 64 - 8 * bytes;
  return static_cast<s64>(value << unused) >> unused;
}

// A result of a signed type narrower than 32 bits is extended to the register that takes it, of
// `vector` bytes.
u64 in_register(const Instruction& in, u64 value) {
  const int bytes = bytes_of(in.type);
  if (is_signed(in.type) && bytes < in.vector) {
    return static_cast<u64>(sign_extended(value, bytes)) & low_bytes(in.vector);
  }
  return value & low_bytes(bytes);
}

void integer_to_integer(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]);
  const u64* a = source_a.data();
  u64* d = warp.slot(in.operands[0].slot);
  // Three pairs of shifts: to the source's width, to the destination's, to the register's.
  const int from = 64 - 8 * bytes_of(in.source), to = 64 - 8 * bytes_of(in.type);
  const int kept = is_signed(in.type) ? std::min(to, 64 - 8 * in.vector) : to;
  const bool from_signed = is_signed(in.source), to_signed = is_signed(in.type);
  for_lanes(mask, [=](int l) {
    u64 value = a[l] << from;
    value = from_signed ? static_cast<u64>(static_cast<s64>(value) >> from) : value >> from;
    value <<= to;
    value = to_signed ? static_cast<u64>(static_cast<s64>(value) >> to) : value >> to;
    d[l] = value << kept >> kept;
  });
}

void integer_to_integer_saturated(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  const int bytes = bytes_of(in.type);
  s128 least = 0, most = static_cast<s128>(low_bytes(bytes));
  if (is_signed(in.type)) {
    most >>= 1;
    least = -most - 1;
  }
  for_lanes(mask, [&](int l) {
    const u64 value = a[l] & low_bytes(bytes_of(in.source));
    const s128 exact = is_signed(in.source) ? s128{sign_extended(value, bytes_of(in.source))}
                                            : static_cast<s128>(value);
    d[l] = in_register(in, static_cast<u64>(std::clamp(exact, least, most)));
  });
}

double widened(Type type, u64 value, bool ftz) {
  switch (type) {
    case Type::kF64:
      return double_of(value);
    case Type::kF16:
      return half_to_float(value);
    case Type::kBf16:
      return bfloat_to_float(value);
    default:
      return ftz ? flushed(float_of(value)) : float_of(value);
  }
}

u64 narrowed(const Instruction& in, double value) {
  switch (in.type) {
    case Type::kF64:
      return bits_of(value);
    case Type::kF16:
    case Type::kF16x2:
      return to_half(value);
    case Type::kBf16:
    case Type::kBf16x2:
      return to_bfloat(value);
    default: {
      const volatile float result = static_cast<float>(value);
      const float kept = result;
      return bits_of(in.ftz ? flushed(kept) : kept);
    }
  }
}

// .rni, .rzi, .rmi, .rpi: to a whole number. `mode` is one more than the index among these, 0:
// none.
double whole(double value, int mode) {
  switch (mode) {
    case 1:
      return std::nearbyint(value);
    case 2:
      return std::trunc(value);
    case 3:
      return std::floor(value);
    default:
      return std::ceil(value);
  }
}

void float_to_float(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) {
    double value = widened(in.source, a[l], in.ftz);
    if (in.mode != 0) value = std::copysign(whole(value, in.mode), value);
    if (in.saturate) value = saturated(value);
    if (in.relu && !std::isnan(value)) value = std::max(0.0, value);
    const RoundingScope scope(in.rounding);
    d[l] = narrowed(in, value);
  });
}

template <float (*widen)(u64)>
void small_to_float(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) { d[l] = bits_of(widen(a[l])); });
}

// cvt.rn.bf16x2.f32 d, a, b: a goes to the upper half.
void floats_to_pair(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]);
  u64* d = warp.slot(in.operands[0].slot);
  const RoundingScope scope(in.rounding);
  const auto value = [&](u64 source) {
    const double x = float_of(source);
    return narrowed(in, in.relu && !std::isnan(x) ? std::max(0.0, x) : x);
  };
  for_lanes(mask, [&](int l) { d[l] = value(a[l]) << 16 | value(b[l]); });
}

void float_to_tf32(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) { d[l] = to_tf32(static_cast<u32>(a[l])); });
}

// Out of range: the nearest that fits. NaN: 0, and 2⁶³ as 64 bits.
u64 to_integer(Type type, double value) {
  const int width = 8 * bytes_of(type);
  if (std::isnan(value)) return width == 64 ? u64{1} << 63 : 0;
  if (is_signed(type)) {
    const double limit = std::ldexp(1.0, width - 1);
    if (value >= limit) return low_bytes(bytes_of(type)) >> 1;
    if (value < -limit) return ~u64{0} << (width - 1);
    return static_cast<u64>(static_cast<s64>(value));
  }
  if (value >= std::ldexp(1.0, width)) return low_bytes(bytes_of(type));
  return value <= 0 ? 0 : static_cast<u64>(value);
}

void float_to_integer(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) {
    const double value = whole(widened(in.source, a[l], in.ftz), in.mode);
    d[l] = in_register(in, to_integer(in.type, value));
  });
}

template <class X, class F>
void word_to_float(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]);
  const u64* a = source_a.data();
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [=](int l) { d[l] = bits<F>(static_cast<F>(as<X>(a[l]))); });
}

void integer_to_float(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  const RoundingScope scope(in.rounding);
  const bool source_signed = is_signed(in.source);
  for_lanes(mask, [&](int l) {
    const u64 value = a[l] & low_bytes(bytes_of(in.source));
    const s64 with_sign = sign_extended(value, bytes_of(in.source));
    if (in.type == Type::kF32) {
      // Through double would round twice.
      const volatile float result =
          source_signed ? static_cast<float>(with_sign) : static_cast<float>(value);
      const float kept = result;
      d[l] = bits_of(in.saturate ? saturated(kept) : kept);
      return;
    }
    const volatile double result =
        source_signed ? static_cast<double>(with_sign) : static_cast<double>(value);
    const double kept = result;
    d[l] = narrowed(in, in.saturate ? saturated(kept) : kept);
  });
}

bool is_plain_float(Type type) {
  return type == Type::kF16 || type == Type::kBf16 || type == Type::kF32 || type == Type::kF64;
}

Handler float_to_float_handler(const Instruction& in) {
  const bool plain = in.mode == 0 && !in.saturate && !in.relu && !in.ftz;
  if (plain && in.type == Type::kF32 && in.source == Type::kF16) {
    return &small_to_float<half_to_float>;
  }
  if (plain && in.type == Type::kF32 && in.source == Type::kBf16) {
    return &small_to_float<bfloat_to_float>;
  }
  return &float_to_float;
}

Handler integer_to_float_handler(const Instruction& in) {
  const bool plain = in.rounding == Rounding::kNearest && !in.saturate;
  const bool to_float = in.type == Type::kF32;
  if (!plain || (!to_float && in.type != Type::kF64)) return &integer_to_float;
  if (in.source == Type::kS32) {
    return to_float ? &word_to_float<s32, float> : &word_to_float<s32, double>;
  }
  if (in.source == Type::kU32) {
    return to_float ? &word_to_float<u32, float> : &word_to_float<u32, double>;
  }
  return &integer_to_float;
}

void decode_to_pair(Decoding& d) {
  d.operands(3, 3);
  if (d.instruction.source != Type::kF32) d.refuse();
  d.instruction.handler = &floats_to_pair;
}

void decode_conversion(Decoding& d) {
  Instruction& in = d.instruction;
  in.mode = static_cast<u8>(d.take_any({"rni", "rzi", "rmi", "rpi"}) + 1);
  const bool away = d.take("rna");
  in.rounding = d.take_rounding();
  in.ftz = d.take("ftz");
  in.saturate = d.take("sat");
  in.relu = d.take("relu");
  in.type = d.take_type();
  in.source = d.take_type();
  if (in.source == Type::kNone) d.refuse();
  if (is_packed(in.type)) return decode_to_pair(d);
  d.operands(2, 2);
  in.vector = static_cast<u8>(std::max(bytes_of(d.register_type(0)), 1));
  const bool to_float = is_plain_float(in.type), from_float = is_plain_float(in.source);
  if (in.type == Type::kTf32) {
    if (!away || in.source != Type::kF32) d.refuse();
    in.handler = &float_to_tf32;
  } else if ((!to_float && is_float(in.type)) || (!from_float && is_float(in.source)) || away) {
    d.refuse();
  } else if (to_float && from_float) {
    in.handler = float_to_float_handler(in);
  } else if (to_float) {
    in.handler = integer_to_float_handler(in);
  } else if (from_float) {
    if (in.mode == 0) d.refuse();
    in.handler = &float_to_integer;
  } else {
    in.handler = in.saturate ? &integer_to_integer_saturated : &integer_to_integer;
  }
}

}  // namespace

void add_conversion_instructions(InstructionTable& table) {
  table["cvt"].add(
      decode_conversion,
      "{.rn|.rz|.rm|.rp|.rni|.rzi|.rmi|.rpi}{.ftz}{.sat}{.relu}.dtype.type, types: u8 to "
      "s64, f16, bf16, f32, f64; .rn|.rz{.relu}.f16x2|.bf16x2.f32 of two sources; "
      ".rna.tf32.f32");
}

}  // namespace reformer::ptx
