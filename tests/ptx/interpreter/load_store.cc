// Loads and stores, and hints about memory that change nothing here.
#include <cstring>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/memory_access.h"

namespace reformer::ptx {
namespace {

MemoryAccess reading(const Instruction& in) {
  return {.space = in.space, .bytes = in.vector * bytes_of(in.type), .reads = true};
}

MemoryAccess writing(const Instruction& in) {
  return {.space = in.space, .bytes = in.vector * bytes_of(in.type), .writes = true};
}

// A signed value narrower than its register is extended to it; `mode` is the register's size in
// bytes.
u64 extended(const Instruction& in, u64 value) {
  const int unused = 64 - 8 * bytes_of(in.type);
  return static_cast<u64>(static_cast<s64>(value << unused) >> unused) & low_bytes(in.mode);
}

template <class U>
void load_one(const Instruction& in, Warp& warp, LaneMask mask) {
  LaneValues addresses;
  addresses_of(in, warp, in.operands[1], in.space, mask, addresses);
  reach(in, warp, reading(in), mask, addresses);
  u64* d = warp.destination(in.operands[0]);
  if (d == nullptr) return;
  if (in.flag) {
    for_lanes(mask, [&](int l) { d[l] = extended(in, load<U>(addresses[l])); });
  } else {
    for_lanes(mask, [&](int l) { d[l] = load<U>(addresses[l]); });
  }
}

void load_vector(const Instruction& in, Warp& warp, LaneMask mask) {
  LaneValues addresses;
  addresses_of(in, warp, in.operands[1], in.space, mask, addresses);
  reach(in, warp, reading(in), mask, addresses);
  const int bytes = bytes_of(in.type);
  for (int i = 0; i < in.vector; ++i) {
    u64* d = warp.destination(in.operands[0].elements[i]);
    if (d == nullptr) continue;
    for_lanes(mask, [&](int l) {
      const u64 value = load_bytes(addresses[l] + static_cast<u64>(i * bytes), bytes);
      d[l] = in.flag ? extended(in, value) : value;
    });
  }
}

// A parameter of the kernel: the same for all lanes.
void load_kernel_parameter(const Instruction& in, Warp& warp, LaneMask mask) {
  const Operand& operand = in.operands[1];
  const u64 offset = operand.value() + static_cast<u64>(operand.offset) - kParameterWindow;
  const int bytes = bytes_of(in.type);
  for (int i = 0; i < in.vector; ++i) {
    const Operand& to = in.vector == 1 ? in.operands[0] : in.operands[0].elements[i];
    u64* d = warp.destination(to);
    if (d == nullptr) continue;
    u64 value = 0;
    std::memcpy(&value, warp.launch.parameters.data() + offset + static_cast<u64>(i * bytes),
                static_cast<std::size_t>(bytes));
    if (in.flag) value = extended(in, value);
    for_lanes(mask, [&](int l) { d[l] = value; });
  }
}

template <class U>
void store_one(const Instruction& in, Warp& warp, LaneMask mask) {
  LaneValues addresses;
  addresses_of(in, warp, in.operands[0], in.space, mask, addresses);
  reach(in, warp, writing(in), mask, addresses);
  const Source value(warp, in.operands[1]);
  for_lanes(mask, [&](int l) { store<U>(addresses[l], value[l]); });
}

void store_vector(const Instruction& in, Warp& warp, LaneMask mask) {
  LaneValues addresses;
  addresses_of(in, warp, in.operands[0], in.space, mask, addresses);
  reach(in, warp, writing(in), mask, addresses);
  const int bytes = bytes_of(in.type);
  for (int i = 0; i < in.vector; ++i) {
    const Source value(warp, in.operands[1].elements[i]);
    for_lanes(mask, [&](int l) {
      store_bytes(addresses[l] + static_cast<u64>(i * bytes), bytes, value[l]);
    });
  }
}

void do_nothing(const Instruction&, Warp&, LaneMask) {}

constexpr auto kStorable = {Type::kB8,  Type::kB16, Type::kB32, Type::kB64, Type::kU8,
                            Type::kU16, Type::kU32, Type::kU64, Type::kS8,  Type::kS16,
                            Type::kS32, Type::kS64, Type::kF32, Type::kF64};

// What does not change the outcome: where to cache, how much to fetch beyond.
void take_hints(Decoding& d) {
  d.take_any({"ca", "cg", "cs", "lu", "cv", "wb", "wt"});
  d.take("nc");
  d.take_any({"L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last",
              "L1::no_allocate"});
  d.take_any({"L2::evict_first", "L2::evict_last", "L2::evict_normal"});
  d.take("L2::cache_hint");
  d.take_any({"L2::64B", "L2::128B", "L2::256B"});
}

void take_strength(Decoding& d) {
  Instruction& in = d.instruction;
  const int strength = d.take_any({"weak", "volatile", "relaxed", "acquire", "release", "mmio"});
  in.strong = strength > 0;
  in.acquire = strength == 3;
  in.release = strength == 4;
  if (in.strong && d.take_any({"cta", "gpu", "sys", "cluster"}) < 0 && strength != 1) d.refuse();
  if (strength == 5) d.take("relaxed");
}

void decode_access(Decoding& d, std::size_t value_operand) {
  Instruction& in = d.instruction;
  d.operands(2, 3);  // the third is a cache policy
  take_strength(d);
  in.space = d.take_space();
  take_hints(d);
  const int vector = d.take_any({"v2", "v4"});
  in.vector = static_cast<u8>(vector < 0 ? 1 : 2 << vector);
  in.type = d.take_type(kStorable);
  const Operand& value = in.operands[value_operand];
  if (in.vector > 1 && (value.kind != OperandKind::kVector || value.count != in.vector)) d.refuse();
  if (in.vector * bytes_of(in.type) > 16) d.refuse();
}

void decode_load(Decoding& d) {
  Instruction& in = d.instruction;
  decode_access(d, 0);
  in.mode = static_cast<u8>(bytes_of(d.register_type(0)));
  in.flag = is_signed(in.type) && in.mode > bytes_of(in.type);
  const Operand& from = in.operands[1];
  if (from.kind == OperandKind::kConstant && in_window(from.value(), kParameterWindow)) {
    in.handler = &load_kernel_parameter;
    return;
  }
  if (in.vector > 1) {
    in.handler = &load_vector;
    return;
  }
  constexpr std::array<Handler, 9> kBySize = {nullptr, &load_one<u8>,  &load_one<u16>,
                                              nullptr, &load_one<u32>, nullptr,
                                              nullptr, nullptr,        &load_one<u64>};
  in.handler = kBySize[static_cast<std::size_t>(bytes_of(in.type))];
}

void decode_store(Decoding& d) {
  Instruction& in = d.instruction;
  decode_access(d, 1);
  if (in.vector > 1) {
    in.handler = &store_vector;
    return;
  }
  constexpr std::array<Handler, 9> kBySize = {nullptr, &store_one<u8>,  &store_one<u16>,
                                              nullptr, &store_one<u32>, nullptr,
                                              nullptr, nullptr,         &store_one<u64>};
  in.handler = kBySize[static_cast<std::size_t>(bytes_of(in.type))];
}

void decode_hint(Decoding& d) {
  d.take_space();
  d.take_any({"L1", "L2", "L2::evict_last", "L2::evict_normal", "uniform"});
  d.take("L2::128B");
  d.take("tensormap");
  d.take("uniform");
  d.instruction.handler = &do_nothing;
}

// A cache policy is a number that nobody looks at.
void make_policy(const Instruction& in, Warp& warp, LaneMask mask) {
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) { d[l] = 0; });
}

void decode_policy(Decoding& d) {
  d.operands(1, 4);
  d.take_one({"fractional"});
  d.take_any({"L2::evict_first", "L2::evict_last", "L2::evict_normal", "L2::evict_unchanged"});
  d.take_any({"L2::evict_first", "L2::evict_unchanged"});
  d.instruction.type = d.take_type({Type::kB64});
  d.instruction.handler = &make_policy;
}

}  // namespace

void add_memory_instructions(InstructionTable& table) {
  const char* hints = "{cache hints}";
  table["ld"].add(
      decode_load,
      std::string("{.weak|.volatile|.relaxed.scope|.acquire.scope}{.global|.const|.shared|"
                  ".local|.param}{.nc}") +
          hints + "{.v2|.v4}.type, type: b8 to f64, 16 bytes in all");
  table["ldu"].add(decode_load, "{.global}{.v2|.v4}.type");
  table["st"].add(
      decode_store,
      std::string("{.weak|.volatile|.relaxed.scope|.release.scope}{.global|.shared|.local|"
                  ".param}") +
          hints + "{.v2|.v4}.type, type: b8 to f64, 16 bytes in all");
  table["prefetch"].add(decode_hint,
                        "{.global|.local}.L1|.L2{::evict_last|::evict_normal}: ignored");
  table["prefetchu"].add(decode_hint, ".L1: ignored");
  table["discard"].add(decode_hint, "{.global}.L2: ignored");
  table["applypriority"].add(decode_hint, "{.global}.L2::evict_normal: ignored");
  table["createpolicy"].add(decode_policy, ".fractional.L2::….b64: ignored");
}

}  // namespace reformer::ptx
