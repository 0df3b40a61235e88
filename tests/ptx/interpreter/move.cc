// Moves between registers and kinds of addresses: mov, cvta, isspacep.
#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/lanes.h"

namespace reformer::ptx {
namespace {

void move(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source source_a(warp, in.operands[1]);
  const u64* a = source_a.data();
  u64* d = warp.slot(in.operands[0].slot);
  const u64 keep = in.type == Type::kPredicate ? 1 : low_bytes(bytes_of(in.type));
  for_lanes(mask, [=](int l) { d[l] = a[l] & keep; });
}

// {d0, d1} = a: the lower bits first.
void unpack(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  const Operand& to = in.operands[0];
  const int bytes = bytes_of(in.type) / to.count;
  const u64 keep = low_bytes(bytes);
  // All sources are read before anything is written: a may be one of the destinations.
  LaneValues values;
  for_lanes(mask, [&](int l) { values[l] = a[l]; });
  for (int i = 0; i < to.count; ++i) {
    u64* d = warp.destination(to.elements[i]);
    if (d == nullptr) continue;
    for_lanes(mask, [&](int l) { d[l] = values[l] >> (8 * bytes * i) & keep; });
  }
}

void pack(const Instruction& in, Warp& warp, LaneMask mask) {
  const Operand& from = in.operands[1];
  const int bytes = bytes_of(in.type) / from.count;
  const u64 keep = low_bytes(bytes);
  LaneValues values{};
  for (int i = 0; i < from.count; ++i) {
    const Source a(warp, from.elements[i]);
    for_lanes(mask, [&](int l) { values[l] |= (a[l] & keep) << (8 * bytes * i); });
  }
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) { d[l] = values[l]; });
}

// Only shared memory has addresses of its own. mode: 0 to generic, 1 from generic.
void convert_shared_address(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  const u64 distance = in.mode == 0 ? kSharedWindow : 0 - kSharedWindow;
  const u64 keep = low_bytes(bytes_of(in.type));
  for_lanes(mask, [&](int l) { d[l] = (a[l] + distance) & keep; });
}

bool is_in_space(Space space, u64 address) {
  switch (space) {
    case Space::kShared:
      return in_window(address, kSharedWindow);
    case Space::kLocal:
      return in_window(address, kLocalWindow);
    case Space::kGlobal:
      return address < kReservedAddresses;
    case Space::kParameter:
      return in_window(address, kParameterWindow);
    default:
      return false;
  }
}

void is_address_in_space(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]);
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) { d[l] = is_in_space(in.space, a[l]) ? 1 : 0; });
}

void decode_move(Decoding& d) {
  d.operands(2, 2);
  Instruction& in = d.instruction;
  in.type = d.take_type({Type::kPredicate, Type::kB16, Type::kB32, Type::kB64, Type::kU16,
                         Type::kU32, Type::kU64, Type::kS16, Type::kS32, Type::kS64, Type::kF32,
                         Type::kF64, Type::kF16, Type::kBf16});
  const bool unpacks = in.operands[0].kind == OperandKind::kVector;
  const bool packs = in.operands[1].kind == OperandKind::kVector;
  if (unpacks && packs) d.refuse();
  const int elements = unpacks ? in.operands[0].count : packs ? in.operands[1].count : 1;
  if (elements < 1 || bytes_of(in.type) % elements != 0) d.refuse();
  in.handler = unpacks ? &unpack : packs ? &pack : &move;
}

void decode_convert_address(Decoding& d) {
  d.operands(2, 2);
  Instruction& in = d.instruction;
  in.mode = d.take("to") ? 1 : 0;
  in.space = d.take_space();
  in.type = d.take_type({Type::kU32, Type::kU64});
  in.handler = in.space == Space::kShared ? &convert_shared_address : &move;
}

void decode_is_in_space(Decoding& d) {
  d.operands(2, 2);
  d.instruction.space = d.take_space();
  d.instruction.handler = &is_address_in_space;
}

}  // namespace

void add_move_instructions(InstructionTable& table) {
  table["mov"].add(decode_move, ".type, type: pred, b16 to f64; packs and unpacks {a, b, …}");
  table["cvta"].add(decode_convert_address, "{.to}.global|.const|.shared|.local|.param.u32|.u64");
  table["isspacep"].add(decode_is_in_space, ".global|.const|.shared|.local|.param");
}

}  // namespace reformer::ptx
