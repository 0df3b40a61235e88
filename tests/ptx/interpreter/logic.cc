// Instructions on all bits of a word: and, or, xor, not, cnot, shl, shr, shf, lop3, prmt.
#include <algorithm>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/lanes.h"

namespace reformer::ptx {
namespace {

int bits_of_type(Type type) {
  return 8 * bytes_of(type);
}
u64 type_mask(Type type) {
  return type == Type::kPredicate ? 1 : low_bytes(bytes_of(type));
}

struct And {
  u64 operator()(u64 x, u64 y) const { return x & y; }
};
struct Or {
  u64 operator()(u64 x, u64 y) const { return x | y; }
};
struct Xor {
  u64 operator()(u64 x, u64 y) const { return x ^ y; }
};

template <class F>
void logic(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]), source_b(warp, in.operands[2]);
  const u64* a = source_a.data();
  const u64* b = source_b.data();
  u64* d = warp.slot(in.operands[0].slot);
  const u64 keep = type_mask(in.type);
  const u64 invert_a = in.operands[1].negated ? 1 : 0, invert_b = in.operands[2].negated ? 1 : 0;
  for_lanes(mask, [=](int l) { d[l] = F{}(a[l] ^ invert_a, b[l] ^ invert_b) & keep; });
}

void invert(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  const u64 keep = type_mask(in.type);
  for_lanes(mask, [&](int l) { d[l] = ~a[l] & keep; });
}

void is_zero(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  const u64 keep = type_mask(in.type);
  for_lanes(mask, [&](int l) { d[l] = (a[l] & keep) == 0 ? 1 : 0; });
}

// Shifts by the width or more give 0, or the sign.
void shift_left(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]), source_b(warp, in.operands[2]);
  const u64* a = source_a.data();
  const u64* b = source_b.data();
  u64* d = warp.slot(in.operands[0].slot);
  const u32 width = static_cast<u32>(bits_of_type(in.type));
  const u64 keep = type_mask(in.type);
  for_lanes(mask, [=](int l) {
    const u32 shift = static_cast<u32>(b[l]);
    d[l] = shift >= width ? 0 : (a[l] << (shift & 63)) & keep;
  });
}

void shift_right(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]), source_b(warp, in.operands[2]);
  const u64* a = source_a.data();
  const u64* b = source_b.data();
  u64* d = warp.slot(in.operands[0].slot);
  const u32 width = static_cast<u32>(bits_of_type(in.type));
  const u64 keep = type_mask(in.type);
  for_lanes(mask, [=](int l) {
    const u32 shift = static_cast<u32>(b[l]);
    d[l] = shift >= width ? 0 : (a[l] & keep) >> (shift & 63);
  });
}

void shift_right_signed(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]);
  u64* d = warp.slot(in.operands[0].slot);
  const int width = bits_of_type(in.type);
  const u64 keep = type_mask(in.type);
  for_lanes(mask, [&](int l) {
    const s64 value = static_cast<s64>(a[l] << (64 - width)) >> (64 - width);
    const u32 shift = std::min(static_cast<u32>(b[l]), static_cast<u32>(width - 1));
    d[l] = static_cast<u64>(value >> shift) & keep;
  });
}

// mode: 0 left, 1 right. `flag`: the shift wraps at 32, else it is clamped there.
void funnel_shift(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]), c(warp, in.operands[3]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) {
    const u64 both = b[l] << 32 | (a[l] & 0xffffffff);
    const u32 wanted = static_cast<u32>(c[l]);
    const u32 shift = in.flag ? wanted & 31 : std::min<u32>(wanted, 32);
    const u64 shifted = in.mode == 0 ? (both << shift) >> 32 : both >> shift;
    d[l] = static_cast<u32>(in.mode == 0 && shift == 32 ? both : shifted);
  });
}

u32 look_up(u32 table, u32 x, u32 y, u32 z) {
  u32 result = 0;
  for (u32 i = 0; i < 8; ++i) {
    if ((table >> i & 1) == 0) continue;
    result |= ((i & 4) != 0 ? x : ~x) & ((i & 2) != 0 ? y : ~y) & ((i & 1) != 0 ? z : ~z);
  }
  return result;
}

void logic_3(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]), c(warp, in.operands[3]);
  u64* d = warp.destination(in.operands[0]);
  u64* predicate = warp.second_destination(in.operands[0]);
  const u32 table = static_cast<u32>(in.operands[4].value());
  if (!in.flag) {
    for_lanes(mask, [&](int l) {
      d[l] = look_up(table, static_cast<u32>(a[l]), static_cast<u32>(b[l]), static_cast<u32>(c[l]));
    });
    return;
  }
  // lop3.or, lop3.and: also a predicate, (result ≠ 0) combined with another one.
  const PredicateSource q(warp, in.operands[5]);
  for_lanes(mask, [&](int l) {
    const u32 result =
        look_up(table, static_cast<u32>(a[l]), static_cast<u32>(b[l]), static_cast<u32>(c[l]));
    const bool combined = in.mode == 0 ? (result != 0 || q[l]) : (result != 0 && q[l]);
    if (d != nullptr) d[l] = result;
    if (predicate != nullptr) predicate[l] = combined ? 1 : 0;
  });
}

// The byte that goes to place i for selector s, in the modes of prmt after the first.
int permuted_byte(int mode, int i, int s) {
  switch (mode) {
    case 0:  // f4e
      return (s + i) & 7;
    case 1:  // b4e
      return (s - i) & 7;
    case 2:  // rc8
      return s;
    case 3:  // ecl
      return std::max(i, s);
    case 4:  // ecr
      return std::min(i, s);
    default:  // rc16
      return (s & 1) * 2 + (i & 1);
  }
}

void permute_bytes(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]), c(warp, in.operands[3]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) {
    const u64 both = b[l] << 32 | (a[l] & 0xffffffff);
    u32 result = 0;
    for (int i = 0; i < 4; ++i) {
      u32 selector = static_cast<u32>(c[l] >> (4 * i)) & 15;
      if (in.flag) {
        selector = static_cast<u32>(permuted_byte(in.mode, i, static_cast<int>(c[l] & 3)));
      }
      u32 byte = static_cast<u32>(both >> (8 * (selector & 7))) & 255;
      if ((selector & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;  // only the sign
      result |= byte << (8 * i);
    }
    d[l] = result;
  });
}

constexpr auto kBitTypes = {Type::kPredicate, Type::kB16, Type::kB32, Type::kB64};

template <Handler handler>
void decode_logic(Decoding& d) {
  d.operands(3, 3);
  d.instruction.type = d.take_type(kBitTypes);
  d.instruction.handler = handler;
}

void decode_invert(Decoding& d) {
  d.operands(2, 2);
  d.instruction.type = d.take_type(kBitTypes);
  d.instruction.handler = d.statement.opcode == "not" ? &invert : &is_zero;
}

void decode_shift(Decoding& d) {
  d.operands(3, 3);
  const Type type = d.instruction.type =
      d.take_type({Type::kB16, Type::kB32, Type::kB64, Type::kU16, Type::kU32, Type::kU64,
                   Type::kS16, Type::kS32, Type::kS64});
  const bool left = d.statement.opcode == "shl";
  d.instruction.handler = left ? &shift_left : is_signed(type) ? &shift_right_signed : &shift_right;
}

void decode_funnel_shift(Decoding& d) {
  d.operands(4, 4);
  d.instruction.mode = static_cast<u8>(d.take_one({"l", "r"}));
  d.instruction.flag = d.take_one({"clamp", "wrap"}) == 1;
  d.instruction.type = d.take_type({Type::kB32});
  d.instruction.handler = &funnel_shift;
}

void decode_logic_3(Decoding& d) {
  const int combine = d.take_any({"or", "and"});
  d.instruction.flag = combine >= 0;
  d.instruction.mode = combine == 1 ? 1 : 0;
  d.operands(d.instruction.flag ? 6 : 5, d.instruction.flag ? 6 : 5);
  d.instruction.type = d.take_type({Type::kB32});
  d.instruction.handler = &logic_3;
}

void decode_permute(Decoding& d) {
  d.operands(4, 4);
  d.instruction.type = d.take_type({Type::kB32});
  const int mode = d.take_any({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"});
  d.instruction.flag = mode >= 0;
  d.instruction.mode = static_cast<u8>(std::max(0, mode));
  d.instruction.handler = &permute_bytes;
}

}  // namespace

void add_logic_instructions(InstructionTable& table) {
  table["and"].add(decode_logic<&logic<And>>, ".pred|.b16|.b32|.b64");
  table["or"].add(decode_logic<&logic<Or>>, ".pred|.b16|.b32|.b64");
  table["xor"].add(decode_logic<&logic<Xor>>, ".pred|.b16|.b32|.b64");
  table["not"].add(decode_invert, ".pred|.b16|.b32|.b64");
  table["cnot"].add(decode_invert, ".b16|.b32|.b64");
  table["shl"].add(decode_shift, ".b16|.b32|.b64");
  table["shr"].add(decode_shift, ".type, type: b16 to s64");
  table["shf"].add(decode_funnel_shift, ".l|.r.clamp|.wrap.b32");
  table["lop3"].add(decode_logic_3, "{.or|.and}.b32");
  table["prmt"].add(decode_permute, ".b32{.f4e|.b4e|.rc8|.ecl|.ecr|.rc16}");
}

}  // namespace reformer::ptx
