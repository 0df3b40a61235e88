// atom and red: read, change and write memory in one step.
#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/memory_access.h"

namespace reformer::ptx {
namespace {

// In the order of kOperations below.
enum Operation : u8 { kAdd, kMin, kMax, kExchange, kCompareAndSwap, kAnd, kOr, kXor, kInc, kDec };
const std::initializer_list<std::string_view> kOperations = {"add", "min", "max", "exch", "cas",
                                                             "and", "or",  "xor", "inc",  "dec"};

u64 add_pair(u64 x, u64 y, bool half) {
  u64 sum = 0;
  for (const int shift : {0, 16}) {
    const u64 part =
        half ? to_half(double{half_to_float(x >> shift)} + half_to_float(y >> shift))
             : to_bfloat(double{bfloat_to_float(x >> shift)} + bfloat_to_float(y >> shift));
    sum |= part << shift;
  }
  return sum;
}

u64 add(Type type, u64 x, u64 y) {
  switch (type) {
    case Type::kF32:
      return bits_of(float_of(x) + float_of(y));
    case Type::kF64:
      return bits_of(double_of(x) + double_of(y));
    case Type::kF16:
      return add_pair(x, y, true) & 0xffff;
    case Type::kBf16:
      return add_pair(x, y, false) & 0xffff;
    case Type::kF16x2:
      return add_pair(x, y, true);
    case Type::kBf16x2:
      return add_pair(x, y, false);
    default:
      return x + y;
  }
}

bool less(Type type, u64 x, u64 y) {
  switch (type) {
    case Type::kS32:
      return static_cast<s32>(x) < static_cast<s32>(y);
    case Type::kS64:
      return static_cast<s64>(x) < static_cast<s64>(y);
    case Type::kU64:
      return x < y;
    default:
      return static_cast<u32>(x) < static_cast<u32>(y);
  }
}

// What memory holds afterwards.
u64 changed(const Instruction& in, u64 old, u64 b, u64 c) {
  switch (in.mode) {
    case kAdd:
      return add(in.type, old, b);
    case kMin:
      return less(in.type, b, old) ? b : old;
    case kMax:
      return less(in.type, old, b) ? b : old;
    case kExchange:
      return b;
    case kCompareAndSwap:
      return ((old ^ b) & low_bytes(bytes_of(in.type))) == 0 ? c : old;
    case kAnd:
      return old & b;
    case kOr:
      return old | b;
    case kXor:
      return old ^ b;
    case kInc:
      return static_cast<u32>(old) >= static_cast<u32>(b) ? 0 : old + 1;
    default:  // kDec
      return old == 0 || static_cast<u32>(old) > static_cast<u32>(b) ? b : old - 1;
  }
}

template <class U>
void change(const Instruction& in, Warp& warp, LaneMask mask) {
  const bool returns = in.flag;
  const std::size_t at = returns ? 1 : 0;
  LaneValues addresses;
  addresses_of(in, warp, in.operands[at], in.space, mask, addresses);
  reach(in, warp, {.space = in.space, .bytes = sizeof(U), .reads = true, .writes = true}, mask,
        addresses);
  const Source b(warp, in.operands[at + 1]);
  const Source c(warp, in.operands[in.mode == kCompareAndSwap ? at + 2 : at + 1]);
  u64* d = returns ? warp.destination(in.operands[0]) : nullptr;
  // One lane after the other: lanes may name the same place.
  for_lanes(mask, [&](int l) {
    U* place = reinterpret_cast<U*>(addresses[l]);
    U old = __atomic_load_n(place, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(place, &old, static_cast<U>(changed(in, old, b[l], c[l])),
                                        false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    if (d != nullptr) d[l] = old;
  });
}

constexpr auto kNumbers = {Type::kU32, Type::kU64, Type::kS32,   Type::kS64,  Type::kF32,
                           Type::kF64, Type::kF16, Type::kF16x2, Type::kBf16, Type::kBf16x2};
constexpr auto kIntegers = {Type::kU32, Type::kU64, Type::kS32, Type::kS64};
constexpr auto kBits = {Type::kB32, Type::kB64};
constexpr auto kMoved = {Type::kB16, Type::kB32, Type::kB64};

Type take_operand_type(Decoding& d, u8 operation) {
  switch (operation) {
    case kAdd:
      return d.take_type(kNumbers);
    case kMin:
    case kMax:
      return d.take_type(kIntegers);
    case kInc:
    case kDec:
      return d.take_type({Type::kU32});
    case kExchange:
      return d.take_type(kBits);
    case kCompareAndSwap:
      return d.take_type(kMoved);
    default:
      return d.take_type(kBits);
  }
}

void decode_atomic(Decoding& d) {
  Instruction& in = d.instruction;
  in.flag = d.statement.opcode == "atom";
  in.strong = true;
  const int order = d.take_any({"relaxed", "acquire", "release", "acq_rel"});
  in.acquire = order == 1 || order == 3;
  in.release = order == 2 || order == 3;
  d.take_any({"cta", "gpu", "sys", "cluster"});
  in.space = d.take_space();
  in.mode = static_cast<u8>(d.take_one(kOperations));
  d.take("noftz");
  d.take("L2::cache_hint");
  in.type = take_operand_type(d, in.mode);
  if (!in.flag && (in.mode == kCompareAndSwap || in.mode == kExchange)) d.refuse();
  const std::size_t count = (in.flag ? 3U : 2U) + (in.mode == kCompareAndSwap ? 1U : 0U);
  d.operands(count, count + 1);  // perhaps a cache policy
  switch (bytes_of(in.type)) {
    case 2:
      in.handler = &change<u16>;
      break;
    case 4:
      in.handler = &change<u32>;
      break;
    default:
      in.handler = &change<u64>;
  }
}

}  // namespace

void add_atomic_instructions(InstructionTable& table) {
  const std::string common = "{.relaxed|.acquire|.release|.acq_rel}{.scope}{.global|.shared}";
  const std::string numbers =
      ".add.u32|.u64|.s32|.s64|.f32|.f64|.f16|.f16x2|.bf16|.bf16x2; .min|.max.u32|.u64|.s32|.s64; "
      ".inc|.dec.u32; .and|.or|.xor.b32|.b64";
  table["atom"].add(decode_atomic, common + numbers + "; .exch.b32|.b64; .cas.b16|.b32|.b64");
  table["red"].add(decode_atomic, common + numbers);
}

}  // namespace reformer::ptx
