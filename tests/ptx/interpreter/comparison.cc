// Comparisons and choices: setp, set, selp, slct, testp.
#include <cmath>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/lanes.h"

namespace reformer::ptx {
namespace {

// In the order of `kComparisons` below.
enum Comparison : u8 {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kLower,  // unsigned from here
  kLowerSame,
  kHigher,
  kHigherSame,
  kEqualOrNan,  // of floats from here
  kNotEqualOrNan,
  kLessOrNan,
  kLessEqualOrNan,
  kGreaterOrNan,
  kGreaterEqualOrNan,
  kNumbers,
  kNan,
};
const std::initializer_list<std::string_view> kComparisons = {
    "eq", "ne",  "lt",  "le",  "gt",  "ge",  "lo",  "ls",  "hi",
    "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};

template <class X>
bool compare_floats(u8 comparison, X x, X y) {
  const bool nan = std::isnan(x) || std::isnan(y);
  switch (comparison) {
    case kEqual:
      return x == y;
    case kNotEqual:
      return !nan && x != y;
    case kLess:
      return std::isless(x, y);
    case kLessEqual:
      return std::islessequal(x, y);
    case kGreater:
      return std::isgreater(x, y);
    case kGreaterEqual:
      return std::isgreaterequal(x, y);
    case kEqualOrNan:
      return nan || x == y;
    case kNotEqualOrNan:
      return nan || x != y;
    case kLessOrNan:
      return nan || x < y;
    case kLessEqualOrNan:
      return nan || x <= y;
    case kGreaterOrNan:
      return nan || x > y;
    case kGreaterEqualOrNan:
      return nan || x >= y;
    case kNumbers:
      return !nan;
    default:
      return nan;
  }
}

template <class X>
bool compare_integers(u8 comparison, X x, X y) {
  switch (comparison) {
    case kEqual:
      return x == y;
    case kNotEqual:
      return x != y;
    case kLess:
    case kLower:
      return x < y;
    case kLessEqual:
    case kLowerSame:
      return x <= y;
    case kGreater:
    case kHigher:
      return x > y;
    default:
      return x >= y;
  }
}

template <class X>
bool compare_as(u8 comparison, u64 x, u64 y, bool ftz) {
  if constexpr (std::is_same_v<X, float>) {
    if (ftz) return compare_floats(comparison, flushed(as<X>(x)), flushed(as<X>(y)));
  }
  if constexpr (std::is_floating_point_v<X>) {
    return compare_floats(comparison, as<X>(x), as<X>(y));
  } else {
    return compare_integers(comparison, as<X>(x), as<X>(y));
  }
}

// Element 1 is the upper one of a pair.
bool compare(Type type, u8 comparison, u64 x, u64 y, bool ftz, int element = 0) {
  const int shift = 16 * element;
  switch (type) {
    case Type::kF32:
      return compare_as<float>(comparison, x, y, ftz);
    case Type::kF64:
      return compare_as<double>(comparison, x, y, ftz);
    case Type::kF16:
    case Type::kF16x2:
      return compare_floats(comparison, half_to_float(x >> shift), half_to_float(y >> shift));
    case Type::kBf16:
    case Type::kBf16x2:
      return compare_floats(comparison, bfloat_to_float(x >> shift), bfloat_to_float(y >> shift));
    case Type::kS16:
      return compare_as<s16>(comparison, x, y, ftz);
    case Type::kS32:
      return compare_as<s32>(comparison, x, y, ftz);
    case Type::kS64:
      return compare_as<s64>(comparison, x, y, ftz);
    case Type::kU16:
    case Type::kB16:
      return compare_as<u16>(comparison, x, y, ftz);
    case Type::kU64:
    case Type::kB64:
      return compare_as<u64>(comparison, x, y, ftz);
    default:
      return compare_as<u32>(comparison, x, y, ftz);
  }
}

// The frequent form, p = a ? b, with the comparison known to the compiler.
template <class X, u8 kComparison>
void set_predicate_plain(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]), source_b(warp, in.operands[2]);
  const u64* a = source_a.data();
  const u64* b = source_b.data();
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [=](int l) {
    const X x = as<X>(a[l]), y = as<X>(b[l]);
    if constexpr (kComparison == kEqual) d[l] = x == y;
    if constexpr (kComparison == kNotEqual) d[l] = x != y;
    if constexpr (kComparison == kLess) d[l] = x < y;
    if constexpr (kComparison == kLessEqual) d[l] = x <= y;
    if constexpr (kComparison == kGreater) d[l] = x > y;
    if constexpr (kComparison == kGreaterEqual) d[l] = x >= y;
  });
}

template <class X>
Handler plain_handler(u8 comparison) {
  switch (comparison) {
    case kEqual:
      return &set_predicate_plain<X, kEqual>;
    case kNotEqual:
      // Of floats this is false for NaN, unlike C++'s.
      return std::is_floating_point_v<X> ? nullptr : &set_predicate_plain<X, kNotEqual>;
    case kLess:
      return &set_predicate_plain<X, kLess>;
    case kLessEqual:
      return &set_predicate_plain<X, kLessEqual>;
    case kGreater:
      return &set_predicate_plain<X, kGreater>;
    case kGreaterEqual:
      return &set_predicate_plain<X, kGreaterEqual>;
    default:
      return nullptr;
  }
}

Handler plain_handler(Type type, u8 comparison) {
  switch (type) {
    case Type::kS32:
      return plain_handler<s32>(comparison);
    case Type::kU32:
    case Type::kB32:
      return plain_handler<u32>(comparison);
    case Type::kS64:
      return plain_handler<s64>(comparison);
    case Type::kU64:
    case Type::kB64:
      return plain_handler<u64>(comparison);
    case Type::kS16:
      return plain_handler<s16>(comparison);
    case Type::kU16:
    case Type::kB16:
      return plain_handler<u16>(comparison);
    case Type::kF32:
      return plain_handler<float>(comparison);
    case Type::kF64:
      return plain_handler<double>(comparison);
    default:
      return nullptr;
  }
}

// How the result is combined with a third predicate.
enum class Combine : u8 { kAlone, kAnd, kOr, kXor };

bool combined(Combine combine, bool x, bool y) {
  switch (combine) {
    case Combine::kAnd:
      return x && y;
    case Combine::kOr:
      return x || y;
    case Combine::kXor:
      return x != y;
    default:
      return x;
  }
}

// `mode` is the comparison, `vector` the Combine.
void set_predicate(const Instruction& in, Warp& warp, LaneMask mask) {
  const auto combine = static_cast<Combine>(in.vector);
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]);
  const PredicateSource c(warp, in.operands[combine == Combine::kAlone ? 1 : 3]);
  u64* d = warp.destination(in.operands[0]);
  u64* second = warp.second_destination(in.operands[0]);
  for_lanes(mask, [&](int l) {
    const bool first = compare(in.source, in.mode, a[l], b[l], in.ftz);
    const bool other =
        is_packed(in.source) ? compare(in.source, in.mode, a[l], b[l], in.ftz, 1) : !first;
    const bool with = c[l];
    if (d != nullptr) d[l] = combined(combine, first, with) ? 1 : 0;
    if (second != nullptr) second[l] = combined(combine, other, with) ? 1 : 0;
  });
}

u64 truth(Type type, Type source) {
  switch (type) {
    case Type::kF32:
      return 0x3f800000;
    case Type::kF16:
    case Type::kF16x2:
      return 0x3c00;
    case Type::kBf16:
    case Type::kBf16x2:
      return 0x3f80;
    case Type::kU16:
    case Type::kS16:
      return 0xffff;
    default:
      return is_packed(source) ? 0xffff : 0xffffffff;
  }
}

void set_value(const Instruction& in, Warp& warp, LaneMask mask) {
  const auto combine = static_cast<Combine>(in.vector);
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]);
  const PredicateSource c(warp, in.operands[combine == Combine::kAlone ? 1 : 3]);
  u64* d = warp.slot(in.operands[0].slot);
  const int elements = is_packed(in.source) ? 2 : 1;
  for_lanes(mask, [&](int l) {
    u64 result = 0;
    for (int i = 0; i < elements; ++i) {
      const bool holds_true = compare(in.source, in.mode, a[l], b[l], in.ftz, i);
      if (combined(combine, holds_true, c[l])) result |= truth(in.type, in.source) << (16 * i);
    }
    d[l] = result;
  });
}

void select(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]), source_b(warp, in.operands[2]),
      source_c(warp, in.operands[3]);
  const u64* a = source_a.data();
  const u64* b = source_b.data();
  const u64* c = source_c.data();
  u64* d = warp.slot(in.operands[0].slot);
  const u64 inverted = in.operands[3].negated ? 1 : 0;
  const u64 keep = low_bytes(bytes_of(in.type));
  for_lanes(mask, [=](int l) { d[l] = (((c[l] ^ inverted) & 1) != 0 ? a[l] : b[l]) & keep; });
}

void select_by_sign(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]), c(warp, in.operands[3]);
  u64* d = warp.slot(in.operands[0].slot);
  const u64 keep = low_bytes(bytes_of(in.type));
  for_lanes(mask, [&](int l) {
    const bool first = in.source == Type::kF32 ? float_of(c[l]) >= 0 : static_cast<s32>(c[l]) >= 0;
    d[l] = (first ? a[l] : b[l]) & keep;
  });
}

template <class X>
bool has_property(u8 property, X x) {
  switch (property) {
    case 0:
      return std::isfinite(x);
    case 1:
      return std::isinf(x);
    case 2:
      return !std::isnan(x);
    case 3:
      return std::isnan(x);
    case 4:
      return std::isnormal(x);
    default:
      return std::fpclassify(x) == FP_SUBNORMAL;
  }
}

template <class X>
void test_property(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) { d[l] = has_property(in.mode, as<X>(a[l])) ? 1 : 0; });
}

constexpr auto kComparable = {Type::kB16, Type::kB32, Type::kB64,   Type::kU16,  Type::kU32,
                              Type::kU64, Type::kS16, Type::kS32,   Type::kS64,  Type::kF32,
                              Type::kF64, Type::kF16, Type::kF16x2, Type::kBf16, Type::kBf16x2};

void take_comparison(Decoding& d) {
  d.instruction.mode = static_cast<u8>(d.take_one(kComparisons));
  const int combine = d.take_any({"and", "or", "xor"});
  d.instruction.vector = static_cast<u8>(combine + 1);
  d.instruction.ftz = d.take("ftz");
  d.operands(combine < 0 ? 3 : 4, combine < 0 ? 3 : 4);
}

void decode_set_predicate(Decoding& d) {
  take_comparison(d);
  Instruction& in = d.instruction;
  in.type = in.source = d.take_type(kComparable);
  in.handler = &set_predicate;
  const bool plain = in.vector == 0 && !in.ftz && in.operands[0].kind == OperandKind::kRegister &&
                     in.operands[0].second < 0;
  if (plain) {
    if (const Handler handler = plain_handler(in.type, in.mode)) in.handler = handler;
  }
}

void decode_set(Decoding& d) {
  take_comparison(d);
  d.instruction.type = d.take_type({Type::kU16, Type::kS16, Type::kU32, Type::kS32, Type::kF32,
                                    Type::kF16, Type::kF16x2, Type::kBf16, Type::kBf16x2});
  d.instruction.source = d.take_type(kComparable);
  d.instruction.handler = &set_value;
}

void decode_select(Decoding& d) {
  d.operands(4, 4);
  d.instruction.type =
      d.take_type({Type::kB16, Type::kB32, Type::kB64, Type::kU16, Type::kU32, Type::kU64,
                   Type::kS16, Type::kS32, Type::kS64, Type::kF32, Type::kF64});
  d.instruction.handler = &select;
}

void decode_select_by_sign(Decoding& d) {
  d.operands(4, 4);
  d.instruction.ftz = d.take("ftz");
  d.instruction.type =
      d.take_type({Type::kB16, Type::kB32, Type::kB64, Type::kU16, Type::kU32, Type::kU64,
                   Type::kS16, Type::kS32, Type::kS64, Type::kF32, Type::kF64});
  d.instruction.source = d.take_type({Type::kS32, Type::kF32});
  d.instruction.handler = &select_by_sign;
}

void decode_test_property(Decoding& d) {
  d.operands(2, 2);
  d.instruction.mode = static_cast<u8>(
      d.take_one({"finite", "infinite", "number", "notanumber", "normal", "subnormal"}));
  d.instruction.type = d.take_type({Type::kF32, Type::kF64});
  d.instruction.handler =
      d.instruction.type == Type::kF32 ? &test_property<float> : &test_property<double>;
}

}  // namespace

void add_comparison_instructions(InstructionTable& table) {
  const char* comparisons =
      ".eq|.ne|.lt|.le|.gt|.ge|.lo|.ls|.hi|.hs|.equ|.neu|.ltu|.leu|.gtu|.geu|.num|.nan"
      "{.and|.or|.xor}{.ftz}";
  table["setp"].add(decode_set_predicate, std::string(comparisons) + ".type, type: b16 to bf16x2");
  table["set"].add(decode_set, std::string(comparisons) + ".dtype.type");
  table["selp"].add(decode_select, ".type, type: b16 to f64");
  table["slct"].add(decode_select_by_sign, "{.ftz}.type.s32|.f32");
  table["testp"].add(decode_test_property,
                     ".finite|.infinite|.number|.notanumber|.normal|.subnormal.f32|.f64");
}

}  // namespace reformer::ptx
