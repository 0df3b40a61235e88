// wmma: whole matrices in fragments whose layout is the interpreter's own business (PTX leaves it
// open). Lane l holds the elements l·n to l·n + n − 1 of the matrix row by row, n = rows · columns
// / 32, in the lowest places of its registers.
#include <algorithm>
#include <vector>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/memory_access.h"

namespace reformer::ptx {
namespace {

// An instruction's shape is packed into the fields that it has room for: `mode` M, `vector` N,
// `members` K. `flag`: the matrix lies row by row in memory.
struct Extent {
  int rows;
  int columns;
  int per_lane() const { return rows * columns / kLanes; }
};

enum class Role : u8 { kA, kB, kAccumulator };

Extent extent_of(const Instruction& in, Role role) {
  const int m = in.mode, n = in.vector, k = in.members;
  switch (role) {
    case Role::kA:
      return {m, k};
    case Role::kB:
      return {k, n};
    default:
      return {m, n};
  }
}

int places_in_register(Type type) {
  if (type == Type::kF16 || type == Type::kBf16) return 2;
  return type == Type::kS8 || type == Type::kU8 ? 4 : 1;
}

double decoded(Type type, u64 bits) {
  switch (type) {
    case Type::kF16:
      return half_to_float(bits);
    case Type::kBf16:
      return bfloat_to_float(bits);
    case Type::kTf32:
      return float_of(bits & ~u64{0x1fff});
    case Type::kF32:
      return float_of(bits);
    case Type::kS8:
      return static_cast<s8>(bits);
    case Type::kU8:
      return static_cast<u8>(bits);
    default:
      return static_cast<s32>(bits);
  }
}

u64 encoded(Type type, double value) {
  switch (type) {
    case Type::kF16:
      return to_half(value);
    case Type::kF32:
      return bits_of(static_cast<float>(value));
    default:
      return static_cast<u32>(static_cast<s64>(value));
  }
}

int element_bits(Type type) {
  return 32 / places_in_register(type);
}

u64 element_mask(Type type) {
  return (u64{1} << element_bits(type)) - 1;
}

// Element e of each lane.
void get(Warp& warp, const Operand& fragment, Type type, int e, LaneValues& bits) {
  const int places = places_in_register(type);
  const Source source(warp, fragment.elements[e / places]);
  for (int l = 0; l < kLanes; ++l) {
    bits[l] = source[l] >> (e % places * element_bits(type)) & element_mask(type);
  }
}

void put(Warp& warp, const Operand& fragment, Type type, int e, const LaneValues& bits) {
  const int places = places_in_register(type), shift = e % places * element_bits(type);
  u64* to = warp.destination(fragment.elements[e / places]);
  if (to == nullptr) return;
  for (int l = 0; l < kLanes; ++l) {
    to[l] = shift == 0 ? bits[l] : to[l] | (bits[l] & element_mask(type)) << shift;
  }
}

// Host addresses of element e of each lane.
void reach_elements(const Instruction& in, Warp& warp, const Operand& address, Role role, int e,
                    bool writes, LaneValues& places) {
  const Extent extent = extent_of(in, role);
  const int bytes = bytes_of(in.type);
  LaneValues base;
  addresses_of(in, warp, address, in.space, kAllLanes, base);
  u64 stride = static_cast<u64>(in.flag ? extent.columns : extent.rows);
  if (in.operands[2].kind != OperandKind::kNone) {
    stride = static_cast<u32>(Source(warp, in.operands[2])[0]);
  }
  for (int l = 0; l < kLanes; ++l) {
    const int i = l * extent.per_lane() + e;
    const auto row = static_cast<u64>(i / extent.columns);
    const auto column = static_cast<u64>(i % extent.columns);
    const u64 index = in.flag ? row * stride + column : column * stride + row;
    places[l] = base[0] + index * static_cast<u64>(bytes);
  }
  reach(in, warp, {.space = in.space, .bytes = bytes, .reads = !writes, .writes = writes},
        kAllLanes, places);
}

void demand_whole_warp(Warp& warp, LaneMask mask) {
  if (mask != kAllLanes) warp.fault("wmma with an incomplete warp", first_lane(mask));
}

template <Role role>
void load_fragment(const Instruction& in, Warp& warp, LaneMask mask) {
  demand_whole_warp(warp, mask);
  LaneValues values;
  for (int e = 0; e < extent_of(in, role).per_lane(); ++e) {
    reach_elements(in, warp, in.operands[1], role, e, false, values);
    for (u64& value : values.values) value = load_bytes(value, bytes_of(in.type));
    put(warp, in.operands[0], in.source, e, values);
  }
}

void store_fragment(const Instruction& in, Warp& warp, LaneMask mask) {
  demand_whole_warp(warp, mask);
  LaneValues places, values;
  for (int e = 0; e < extent_of(in, Role::kAccumulator).per_lane(); ++e) {
    get(warp, in.operands[1], in.type, e, values);
    reach_elements(in, warp, in.operands[0], Role::kAccumulator, e, true, places);
    for (int l = 0; l < kLanes; ++l) store_bytes(places[l], bytes_of(in.type), values[l]);
  }
}

std::vector<double> matrix_of(const Instruction& in, Warp& warp, std::size_t operand, Role role,
                              Type type) {
  const int per_lane = extent_of(in, role).per_lane();
  std::vector<double> matrix(static_cast<std::size_t>(per_lane * kLanes));
  LaneValues values;
  for (int e = 0; e < per_lane; ++e) {
    get(warp, in.operands[operand], type, e, values);
    for (int l = 0; l < kLanes; ++l) {
      matrix[static_cast<std::size_t>(l * per_lane + e)] = decoded(type, values[l]);
    }
  }
  return matrix;
}

void multiply_fragments(const Instruction& in, Warp& warp, LaneMask mask) {
  demand_whole_warp(warp, mask);
  const auto a = matrix_of(in, warp, 1, Role::kA, in.types[1]);
  const auto b = matrix_of(in, warp, 2, Role::kB, in.types[2]);
  auto c = matrix_of(in, warp, 3, Role::kAccumulator, in.types[3]);
  const std::size_t m = in.mode, n = in.vector, k = static_cast<std::size_t>(in.members);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t q = 0; q < k; ++q) {
      for (std::size_t j = 0; j < n; ++j) c[i * n + j] += a[i * k + q] * b[q * n + j];
    }
  }
  const int per_lane = extent_of(in, Role::kAccumulator).per_lane();
  for (int e = 0; e < per_lane; ++e) {
    LaneValues values;
    for (int l = 0; l < kLanes; ++l) {
      values[l] = encoded(in.types[0], c[static_cast<std::size_t>(l * per_lane + e)]);
    }
    put(warp, in.operands[0], in.types[0], e, values);
  }
}

void take_shape(Decoding& d) {
  int m = 0, n = 0, k = 0;
  if (!d.take("sync") || !d.take("aligned") || !d.take_shape(m, n, k)) d.refuse();
  const bool known = (m == 16 && n == 16 && (k == 16 || k == 8)) ||
                     (k == 16 && ((m == 32 && n == 8) || (m == 8 && n == 32)));
  if (!known) d.refuse();
  d.instruction.mode = static_cast<u8>(m);
  d.instruction.vector = static_cast<u8>(n);
  d.instruction.members = k;
  d.instruction.meeting = Meeting::kWarp;
}

void decode_move(Decoding& d, bool loads) {
  Instruction& in = d.instruction;
  d.operands(2, 3);
  const int role = d.take_one({"a", "b", "c", "d"});
  take_shape(d);
  in.flag = d.take_one({"row", "col"}) == 0;
  in.space = d.take_space();
  in.type = in.source = d.take_type();
  if (loads != (role < 3)) d.refuse();
  const Role of = role == 0 ? Role::kA : role == 1 ? Role::kB : Role::kAccumulator;
  const Operand& fragment = in.operands[loads ? 0 : 1];
  const int registers = extent_of(in, of).per_lane() / places_in_register(in.type);
  if (fragment.kind != OperandKind::kVector || fragment.count < registers) d.refuse();
  if (!loads) {
    in.handler = &store_fragment;
  } else if (of == Role::kAccumulator) {
    in.handler = &load_fragment<Role::kAccumulator>;
  } else {
    in.handler = of == Role::kA ? &load_fragment<Role::kA> : &load_fragment<Role::kB>;
  }
}

// .mma: types d and c for f16 factors, else d, a, b, c.
void decode_multiply(Decoding& d) {
  Instruction& in = d.instruction;
  d.operands(4, 4);
  take_shape(d);
  if (d.take_any({"row", "col"}) < 0 || d.take_any({"row", "col"}) < 0) d.refuse();
  std::vector<Type> types;
  for (Type type = d.take_type(); type != Type::kNone; type = d.take_type()) types.push_back(type);
  if (types.size() == 2) types = {types[0], Type::kF16, Type::kF16, types[1]};
  if (types.size() != 4) d.refuse();
  std::copy(types.begin(), types.end(), in.types.begin());
  in.type = in.types[0];
  in.handler = &multiply_fragments;
}

void decode(Decoding& d) {
  switch (d.take_one({"load", "store", "mma"})) {
    case 0:
      return decode_move(d, true);
    case 1:
      return decode_move(d, false);
    default:
      return decode_multiply(d);
  }
}

}  // namespace

void add_fragment_matrix_instructions(InstructionTable& table) {
  table["wmma"].add(
      decode,
      ".load.a|.b|.c, .store.d, .mma.sync.aligned.m16n16k16|.m32n8k16|.m8n32k16 of f16, "
      "bf16, s8, u8, m16n16k8 of tf32");
}

}  // namespace reformer::ptx
