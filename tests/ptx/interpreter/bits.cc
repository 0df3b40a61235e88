// Instructions on single bits and fields: bfe, bfi, bfind, brev, popc, clz, bmsk, szext, fns.
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

void extract_field(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]), c(warp, in.operands[3]);
  u64* d = warp.slot(in.operands[0].slot);
  const u32 width = static_cast<u32>(bits_of_type(in.type));
  const u64 keep = type_mask(in.type);
  for_lanes(mask, [&](int l) {
    const u32 begin = static_cast<u32>(b[l]) & 255, length = static_cast<u32>(c[l]) & 255;
    const u64 value = a[l] & keep;
    u64 result = begin < width ? value >> begin : 0;
    if (length < width) result &= (u64{1} << length) - 1;
    if (is_signed(in.type) && length > 0) {
      const u32 sign_at = std::min(begin + length - 1, width - 1);
      const u32 filled_from = begin >= width ? 0 : std::min(length, width - begin);
      const bool negative = (value >> sign_at & 1) != 0;
      if (negative && filled_from < 64) result |= ~u64{0} << filled_from;
    }
    d[l] = result & keep;
  });
}

void insert_field(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]), c(warp, in.operands[3]),
      e(warp, in.operands[4]);
  u64* d = warp.slot(in.operands[0].slot);
  const u32 width = static_cast<u32>(bits_of_type(in.type));
  const u64 keep = type_mask(in.type);
  for_lanes(mask, [&](int l) {
    const u32 begin = static_cast<u32>(c[l]) & 255, length = static_cast<u32>(e[l]) & 255;
    u64 field = length >= 64 ? ~u64{0} : (u64{1} << length) - 1;
    field = begin >= width ? 0 : field << begin;
    const u64 value = begin >= width ? 0 : a[l] << begin;
    d[l] = ((b[l] & ~field) | (value & field)) & keep;
  });
}

// `flag`: .shiftamt, the shift that brings the bit to the top.
void find_bit(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  const int width = bits_of_type(in.type);
  const u64 keep = type_mask(in.type);
  for_lanes(mask, [&](int l) {
    u64 value = a[l] & keep;
    if (is_signed(in.type) && (value >> (width - 1) & 1) != 0) value = ~value & keep;
    int found = value == 0 ? -1 : 63 - std::countl_zero(value);
    if (in.flag && found >= 0) found = width - 1 - found;
    d[l] = static_cast<u32>(found);
  });
}

void reverse_bits(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  const int width = bits_of_type(in.type);
  for_lanes(mask, [&](int l) {
    u64 result = 0;
    for (int i = 0; i < width; ++i) result |= (a[l] >> i & 1) << (width - 1 - i);
    d[l] = result;
  });
}

void count_ones(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  const u64 keep = type_mask(in.type);
  for_lanes(mask, [&](int l) { d[l] = static_cast<u64>(std::popcount(a[l] & keep)); });
}

void count_leading_zeros(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  const int width = bits_of_type(in.type);
  const u64 keep = type_mask(in.type);
  for_lanes(mask,
            [&](int l) { d[l] = static_cast<u64>(std::countl_zero(a[l] & keep) - (64 - width)); });
}

// `flag`: .wrap instead of .clamp, in both.
void make_mask(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) {
    const u32 begin = static_cast<u32>(a[l]) & (in.flag ? 31 : ~u32{0});
    const u32 length = static_cast<u32>(b[l]) & (in.flag ? 31 : ~u32{0});
    const u64 field = length >= 32 ? 0xffffffff : (u64{1} << length) - 1;
    d[l] = begin >= 32 ? 0 : static_cast<u32>(field << begin);
  });
}

void extend(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) {
    const u32 value = static_cast<u32>(a[l]);
    const u32 length = static_cast<u32>(b[l]) & (in.flag ? 31 : ~u32{0});
    d[l] = value;
    if (length >= 32) return;
    const u32 field = static_cast<u32>((u64{1} << length) - 1);
    const bool negative = in.type == Type::kS32 && length > 0 && (value >> (length - 1) & 1) != 0;
    d[l] = negative ? value | ~field : value & field;
  });
}

// The n-th set bit from a base, upwards or downwards.
void find_nth_set(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]), c(warp, in.operands[3]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) {
    const u32 word = static_cast<u32>(a[l]);
    const s64 offset = static_cast<s32>(c[l]);
    s64 left = std::max<s64>(1, offset < 0 ? -offset : offset);
    d[l] = 0xffffffff;
    for (int i = static_cast<int>(b[l] & 31); i >= 0 && i < 32; i += offset < 0 ? -1 : 1) {
      if ((word >> i & 1) != 0 && --left == 0) {
        d[l] = static_cast<u64>(i);
        break;
      }
      if (offset == 0) break;
    }
  });
}

constexpr auto kWordTypes = {Type::kB32, Type::kB64};

void decode_extract(Decoding& d) {
  d.operands(4, 4);
  d.instruction.type = d.take_type({Type::kU32, Type::kU64, Type::kS32, Type::kS64});
  d.instruction.handler = &extract_field;
}

void decode_insert(Decoding& d) {
  d.operands(5, 5);
  d.instruction.type = d.take_type(kWordTypes);
  d.instruction.handler = &insert_field;
}

void decode_find(Decoding& d) {
  d.operands(2, 2);
  d.instruction.flag = d.take("shiftamt");
  d.instruction.type = d.take_type({Type::kU32, Type::kU64, Type::kS32, Type::kS64});
  d.instruction.handler = &find_bit;
}

template <Handler handler>
void decode_count(Decoding& d) {
  d.operands(2, 2);
  d.instruction.type = d.take_type(kWordTypes);
  d.instruction.handler = handler;
}

void decode_make_mask(Decoding& d) {
  d.operands(3, 3);
  d.instruction.flag = d.take_one({"clamp", "wrap"}) == 1;
  d.instruction.type = d.take_type({Type::kB32});
  d.instruction.handler = &make_mask;
}

void decode_extend(Decoding& d) {
  d.operands(3, 3);
  d.instruction.flag = d.take_one({"clamp", "wrap"}) == 1;
  d.instruction.type = d.take_type({Type::kU32, Type::kS32});
  d.instruction.handler = &extend;
}

void decode_find_nth(Decoding& d) {
  d.operands(4, 4);
  d.instruction.type = d.take_type({Type::kB32});
  d.instruction.handler = &find_nth_set;
}

}  // namespace

void add_bit_instructions(InstructionTable& table) {
  table["bfe"].add(decode_extract, ".u32|.u64|.s32|.s64");
  table["bfi"].add(decode_insert, ".b32|.b64");
  table["bfind"].add(decode_find, "{.shiftamt}.u32|.u64|.s32|.s64");
  table["brev"].add(decode_count<&reverse_bits>, ".b32|.b64");
  table["popc"].add(decode_count<&count_ones>, ".b32|.b64");
  table["clz"].add(decode_count<&count_leading_zeros>, ".b32|.b64");
  table["bmsk"].add(decode_make_mask, ".clamp|.wrap.b32");
  table["szext"].add(decode_extend, ".clamp|.wrap.u32|.s32");
  table["fns"].add(decode_find_nth, ".b32");
}

}  // namespace reformer::ptx
