// Float arithmetic: add, sub, mul, fma, div, min, max, neg, abs, copysign, sqrt, rsqrt, rcp, ex2,
// lg2, sin, cos, tanh, in f64, f32, f16, bf16 and pairs of the last two.
#include <cmath>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/lanes.h"

namespace reformer::ptx {
namespace {

// Each operation takes three operands of which it uses as many as it has. Half floats are computed
// in double, which holds every sum and product of them that matters, and rounded once.
struct Add {
  template <class X>
  X operator()(X x, X y, X) const {
    return x + y;
  }
};
struct Subtract {
  template <class X>
  X operator()(X x, X y, X) const {
    return x - y;
  }
};
struct Multiply {
  template <class X>
  X operator()(X x, X y, X) const {
    return x * y;
  }
};
struct FusedMultiplyAdd {
  float operator()(float x, float y, float z) const { return __builtin_fmaf(x, y, z); }
  double operator()(double x, double y, double z) const { return __builtin_fma(x, y, z); }
};
struct Divide {
  template <class X>
  X operator()(X x, X y, X) const {
    return x / y;
  }
};
// −0 is less than +0. A NaN loses against a number, but for .NaN.
struct Minimum {
  template <class X>
  X operator()(X x, X y, X) const {
    if (x == y) return std::signbit(x) ? x : y;
    return std::fmin(x, y);
  }
};
struct Maximum {
  template <class X>
  X operator()(X x, X y, X) const {
    if (x == y) return std::signbit(x) ? y : x;
    return std::fmax(x, y);
  }
};
template <class F>
struct KeepingNan {
  template <class X>
  X operator()(X x, X y, X z) const {
    return std::isnan(x) || std::isnan(y) ? std::numeric_limits<X>::quiet_NaN() : F{}(x, y, z);
  }
};
struct SquareRoot {
  template <class X>
  X operator()(X x, X, X) const {
    return std::sqrt(x);
  }
};
struct InverseSquareRoot {
  template <class X>
  X operator()(X x, X, X) const {
    return X{1} / std::sqrt(x);
  }
};
struct Reciprocal {
  template <class X>
  X operator()(X x, X, X) const {
    return X{1} / x;
  }
};
struct PowerOfTwo {
  template <class X>
  X operator()(X x, X, X) const {
    return std::exp2(x);
  }
};
struct BinaryLogarithm {
  template <class X>
  X operator()(X x, X, X) const {
    return std::log2(x);
  }
};
struct Sine {
  template <class X>
  X operator()(X x, X, X) const {
    return std::sin(x);
  }
};
struct Cosine {
  template <class X>
  X operator()(X x, X, X) const {
    return std::cos(x);
  }
};
struct HyperbolicTangent {
  template <class X>
  X operator()(X x, X, X) const {
    return std::tanh(x);
  }
};

// Sources beyond the last one stand for themselves: an operation does not look at them.
const Operand& source_of(const Instruction& in, std::size_t index) {
  const Operand& operand = in.operands[index];
  return operand.kind == OperandKind::kNone ? in.operands[1] : operand;
}

// Nearest even and nothing else asked for.
template <class X, class F>
void plain(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]), source_b(warp, source_of(in, 2)),
      source_c(warp, source_of(in, 3));
  const u64* a = source_a.data();
  const u64* b = source_b.data();
  const u64* c = source_c.data();
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [=](int l) { d[l] = bits<X>(F{}(as<X>(a[l]), as<X>(b[l]), as<X>(c[l]))); });
}

template <class X>
X prepared(const Instruction& in, X value) {
  if constexpr (std::is_same_v<X, float>) return in.ftz ? flushed(value) : value;
  return value;
}

template <class X>
X finished(const Instruction& in, X value) {
  value = prepared(in, value);
  if (in.saturate) value = saturated(value);
  if (in.relu && !std::isnan(value)) value = std::max(X{0}, value);
  return value;
}

// Any rounding, .ftz, .sat, .relu.
template <class X, class F>
void general(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, source_of(in, 2)), c(warp, source_of(in, 3));
  u64* d = warp.slot(in.operands[0].slot);
  const RoundingScope scope(in.rounding);
  for_lanes(mask, [&](int l) {
    // Not moved out of the scope of the rounding mode.
    const volatile X result =
        F{}(prepared(in, as<X>(a[l])), prepared(in, as<X>(b[l])), prepared(in, as<X>(c[l])));
    d[l] = bits<X>(finished<X>(in, result));
  });
}

struct Half {
  static double widen(u64 bits_of_value) { return half_to_float(bits_of_value); }
  static u64 narrow(double value) { return to_half(value); }
};
struct Bfloat {
  static double widen(u64 bits_of_value) { return bfloat_to_float(bits_of_value); }
  static u64 narrow(double value) { return to_bfloat(value); }
};

template <class Format, int kElements, class F>
void small(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, source_of(in, 2)), c(warp, source_of(in, 3));
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) {
    u64 result = 0;
    for (int i = 0; i < kElements; ++i) {
      const int shift = 16 * i;
      const double value = F{}(Format::widen(a[l] >> shift), Format::widen(b[l] >> shift),
                               Format::widen(c[l] >> shift));
      result |= Format::narrow(finished<double>(in, value)) << shift;
    }
    d[l] = result;
  });
}

// mode: 0 neg, 1 abs.
template <u64 kSigns>
void change_sign(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]);
  const u64* a = source_a.data();
  u64* d = warp.slot(in.operands[0].slot);
  const bool flush = in.ftz && in.type == Type::kF32;
  const bool clears = in.mode == 1;
  for_lanes(mask, [=](int l) {
    const u64 value = clears ? a[l] & ~kSigns : a[l] ^ kSigns;
    d[l] = flush ? bits(flushed(float_of(value))) : value;
  });
}

template <u64 kSigns>
void copy_sign(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) { d[l] = (b[l] & ~kSigns) | (a[l] & kSigns); });
}

template <class F>
Handler handler_for(const Instruction& in) {
  const bool simple = in.rounding == Rounding::kNearest && !in.ftz && !in.saturate && !in.relu;
  switch (in.type) {
    case Type::kF32:
      return simple ? &plain<float, F> : &general<float, F>;
    case Type::kF64:
      return simple ? &plain<double, F> : &general<double, F>;
    case Type::kF16:
      return &small<Half, 1, F>;
    case Type::kF16x2:
      return &small<Half, 2, F>;
    case Type::kBf16:
      return &small<Bfloat, 1, F>;
    case Type::kBf16x2:
      return &small<Bfloat, 2, F>;
    default:
      return nullptr;
  }
}

constexpr auto kFloats = {Type::kF32,  Type::kF64,   Type::kF16,
                          Type::kBf16, Type::kF16x2, Type::kBf16x2};
constexpr auto kLong = {Type::kF32, Type::kF64};

void take_common(Decoding& d) {
  Instruction& in = d.instruction;
  in.rounding = d.take_rounding();
  in.ftz = d.take("ftz");
  in.saturate = d.take("sat");
  in.type = d.take_type(kFloats);
  const bool small_format = in.type != Type::kF32 && in.type != Type::kF64;
  if (small_format && in.rounding != Rounding::kNearest) d.refuse();
  // 2^x of a subnormal x is 1 either way.
  if (small_format && in.ftz && d.statement.opcode != "ex2") d.refuse();
}

template <class F>
void decode_arithmetic(Decoding& d) {
  d.operands(3, 3);
  take_common(d);
  d.instruction.handler = handler_for<F>(d.instruction);
}

void decode_multiply_add(Decoding& d) {
  d.operands(4, 4);
  d.instruction.relu = d.take("relu");
  take_common(d);
  d.instruction.handler = handler_for<FusedMultiplyAdd>(d.instruction);
}

void decode_divide(Decoding& d) {
  d.operands(3, 3);
  d.take_any({"approx", "full"});
  take_common(d);
  if (bytes_of(d.instruction.type) < 4 || is_packed(d.instruction.type)) d.refuse();
  d.instruction.handler = handler_for<Divide>(d.instruction);
}

template <class F>
void decode_extremum(Decoding& d) {
  d.operands(3, 3);
  const bool keeps_nan = d.take("NaN");
  take_common(d);
  d.instruction.handler =
      keeps_nan ? handler_for<KeepingNan<F>>(d.instruction) : handler_for<F>(d.instruction);
}

template <class F>
void decode_function(Decoding& d) {
  d.operands(2, 2);
  d.take("approx");
  take_common(d);
  d.instruction.handler = handler_for<F>(d.instruction);
}

void decode_sign(Decoding& d) {
  d.operands(2, 2);
  Instruction& in = d.instruction;
  in.ftz = d.take("ftz");
  in.mode = d.statement.opcode == "abs" ? 1 : 0;
  in.type = d.take_type(kFloats);
  if (is_packed(in.type)) {
    in.handler = &change_sign<0x80008000>;
  } else if (bytes_of(in.type) == 2) {
    in.handler = &change_sign<0x8000>;
  } else {
    in.handler = in.type == Type::kF64 ? &change_sign<u64{1} << 63> : &change_sign<u64{1} << 31>;
  }
}

void decode_copy_sign(Decoding& d) {
  d.operands(3, 3);
  d.instruction.type = d.take_type(kLong);
  d.instruction.handler =
      d.instruction.type == Type::kF64 ? &copy_sign<u64{1} << 63> : &copy_sign<u64{1} << 31>;
}

}  // namespace

void add_float_instructions(InstructionTable& table) {
  table["add"].add_float(
      decode_arithmetic<Add>,
      "{.rnd}{.ftz}{.sat}.f32; {.rnd}.f64; {.rn}{.sat}.f16|.f16x2|.bf16|.bf16x2");
  table["sub"].add_float(decode_arithmetic<Subtract>, "as add");
  table["mul"].add_float(decode_arithmetic<Multiply>, "as add");
  table["fma"].add_float(
      decode_multiply_add,
      ".rnd{.ftz}{.sat}.f32; .rnd.f64; .rn{.sat|.relu}.f16|.f16x2|.bf16|.bf16x2");
  table["mad"].add_float(decode_multiply_add, "as fma");
  table["div"].add_float(decode_divide, ".approx|.full|.rnd{.ftz}.f32; .rnd.f64");
  table["min"].add_float(decode_extremum<Minimum>,
                         "{.ftz}{.NaN}.f32|.f64|.f16|.f16x2|.bf16|.bf16x2");
  table["max"].add_float(decode_extremum<Maximum>, "as min");
  table["neg"].add_float(decode_sign, "{.ftz}.f32|.f64|.f16|.f16x2|.bf16|.bf16x2");
  table["abs"].add_float(decode_sign, "as neg");
  table["copysign"].add_float(decode_copy_sign, ".f32|.f64");
  table["sqrt"].add_float(decode_function<SquareRoot>, ".approx|.rnd{.ftz}.f32; .rnd.f64");
  table["rsqrt"].add_float(decode_function<InverseSquareRoot>, ".approx{.ftz}.f32|.f64");
  table["rcp"].add_float(decode_function<Reciprocal>, ".approx|.rnd{.ftz}.f32|.f64");
  table["ex2"].add_float(decode_function<PowerOfTwo>,
                         ".approx{.ftz}.f32|.f16|.f16x2|.bf16|.bf16x2");
  table["lg2"].add_float(decode_function<BinaryLogarithm>, ".approx{.ftz}.f32");
  table["sin"].add_float(decode_function<Sine>, ".approx{.ftz}.f32");
  table["cos"].add_float(decode_function<Cosine>, ".approx{.ftz}.f32");
  table["tanh"].add_float(decode_function<HyperbolicTangent>,
                          ".approx.f32|.f16|.f16x2|.bf16|.bf16x2");
}

}  // namespace reformer::ptx
