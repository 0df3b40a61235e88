// Instructions in which the lanes of a warp work together: shfl, vote, match, redux, elect,
// activemask, bar.warp. The lanes that take part have met already (Meeting::kMembers), and each of
// them names itself in its mask.
#include <algorithm>
#include <string>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/lanes.h"

namespace reformer::ptx {
namespace {

enum Direction : u8 { kUp, kDown, kButterfly, kIndex };

// From which lane a lane reads; `inside` says whether that is within its segment, else it is
// itself.
int shuffle_source(u8 direction, int lane, u32 b, u32 c, bool& inside) {
  const int segment = static_cast<int>(c >> 8 & 31), clamp = static_cast<int>(c & 31);
  const int operand = static_cast<int>(b & 31);
  const int last = (lane & segment) | (clamp & ~segment), first = lane & segment;
  int from = 0;
  switch (direction) {
    case kUp:
      from = lane - operand;
      inside = from >= last;
      break;
    case kDown:
      from = lane + operand;
      inside = from <= last;
      break;
    case kButterfly:
      from = lane ^ operand;
      inside = from <= last;
      break;
    default:
      from = first | (operand & ~segment);
      inside = from <= last;
  }
  return inside ? from : lane;
}

void shuffle(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), b(warp, in.operands[2]), c(warp, in.operands[3]),
      members(warp, in.operands[4]);
  LaneValues values, predicates;
  for_lanes(mask, [&](int l) {
    bool inside = false;
    const int from =
        shuffle_source(in.mode, l, static_cast<u32>(b[l]), static_cast<u32>(c[l]), inside);
    if (!holds(mask & static_cast<LaneMask>(members[l]), from)) {
      warp.fault("shfl reads lane " + std::to_string(from) + ", which does not take part", l);
    }
    values[l] = static_cast<u32>(a[from]);
    predicates[l] = inside ? 1 : 0;
  });
  u64* d = warp.destination(in.operands[0]);
  u64* predicate = warp.second_destination(in.operands[0]);
  for_lanes(mask, [&](int l) {
    if (d != nullptr) d[l] = values[l];
    if (predicate != nullptr) predicate[l] = predicates[l];
  });
}

enum Vote : u8 { kBallot, kAny, kAll, kUniform };

void vote(const Instruction& in, Warp& warp, LaneMask mask) {
  const PredicateSource a(warp, in.operands[1]);
  const Source members(warp, in.operands[2]);
  LaneMask in_favour = 0;
  for_lanes(mask, [&](int l) { in_favour |= (a[l] ? 1U : 0U) << l; });
  LaneValues results;
  for_lanes(mask, [&](int l) {
    const LaneMask asked = static_cast<LaneMask>(members[l]) & mask;
    const LaneMask yes = in_favour & asked;
    results[l] = in.mode == kBallot ? yes
                 : in.mode == kAny  ? yes != 0
                 : in.mode == kAll  ? yes == asked
                                    : yes == asked || yes == 0;
  });
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) { d[l] = results[l]; });
}

// mode: 0 any, the lanes with the same value; 1 all, the whole mask where all have it.
void match(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), members(warp, in.operands[2]);
  const u64 keep = low_bytes(bytes_of(in.type));
  LaneValues results, predicates;
  for_lanes(mask, [&](int l) {
    const LaneMask asked = static_cast<LaneMask>(members[l]) & mask;
    LaneMask equal = 0;
    for_lanes(asked, [&](int j) { equal |= (((a[j] ^ a[l]) & keep) == 0 ? 1U : 0U) << j; });
    predicates[l] = equal == asked ? 1 : 0;
    results[l] = in.mode == 0 || equal == asked ? equal : 0;
  });
  u64* d = warp.destination(in.operands[0]);
  u64* predicate = warp.second_destination(in.operands[0]);
  for_lanes(mask, [&](int l) {
    if (d != nullptr) d[l] = results[l];
    if (predicate != nullptr) predicate[l] = predicates[l];
  });
}

enum Reduction : u8 { kSum, kMinimum, kMaximum, kAnd, kOr, kXor };

u32 reduced(const Instruction& in, u32 x, u32 y) {
  const bool signed_type = in.type == Type::kS32;
  const bool less = signed_type ? static_cast<s32>(x) < static_cast<s32>(y) : x < y;
  switch (in.mode) {
    case kSum:
      return x + y;
    case kMinimum:
      return less ? x : y;
    case kMaximum:
      return less ? y : x;
    case kAnd:
      return x & y;
    case kOr:
      return x | y;
    default:
      return x ^ y;
  }
}

void reduce(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source a(warp, in.operands[1]), members(warp, in.operands[2]);
  LaneValues results;
  for_lanes(mask, [&](int l) {
    LaneMask asked = static_cast<LaneMask>(members[l]) & mask;
    u32 result = static_cast<u32>(a[first_lane(asked)]);
    asked &= asked - 1;
    for (; asked != 0; asked &= asked - 1) {
      result = reduced(in, result, static_cast<u32>(a[first_lane(asked)]));
    }
    results[l] = result;
  });
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) { d[l] = results[l]; });
}

void elect(const Instruction& in, Warp& warp, LaneMask mask) {
  const Source members(warp, in.operands[1]);
  u64* d = warp.destination(in.operands[0]);
  u64* predicate = warp.second_destination(in.operands[0]);
  for_lanes(mask, [&](int l) {
    const int leader = first_lane(static_cast<LaneMask>(members[l]) & mask);
    if (d != nullptr) d[l] = static_cast<u64>(leader);
    if (predicate != nullptr) predicate[l] = l == leader ? 1 : 0;
  });
}

void active_mask(const Instruction& in, Warp& warp, LaneMask mask) {
  u64* d = warp.slot(in.operands[0].slot);
  for_lanes(mask, [&](int l) { d[l] = mask; });
}

void meet_at(Decoding& d, int members) {
  d.instruction.meeting = Meeting::kMembers;
  d.instruction.members = members;
}

void decode_shuffle(Decoding& d) {
  d.operands(5, 5);
  if (!d.take("sync")) d.refuse();
  d.instruction.mode = static_cast<u8>(d.take_one({"up", "down", "bfly", "idx"}));
  d.instruction.type = d.take_type({Type::kB32});
  d.instruction.handler = &shuffle;
  meet_at(d, 4);
}

void decode_vote(Decoding& d) {
  d.operands(3, 3);
  if (!d.take("sync")) d.refuse();
  d.instruction.mode = static_cast<u8>(d.take_one({"ballot", "any", "all", "uni"}));
  d.instruction.type = d.take_type({d.instruction.mode == kBallot ? Type::kB32 : Type::kPredicate});
  d.instruction.handler = &vote;
  meet_at(d, 2);
}

void decode_match(Decoding& d) {
  d.operands(3, 3);
  if (!d.take("sync")) d.refuse();
  d.instruction.mode = static_cast<u8>(d.take_one({"any", "all"}));
  d.instruction.type = d.take_type({Type::kB32, Type::kB64});
  d.instruction.handler = &match;
  meet_at(d, 2);
}

void decode_reduce(Decoding& d) {
  d.operands(3, 3);
  if (!d.take("sync")) d.refuse();
  d.instruction.mode = static_cast<u8>(d.take_one({"add", "min", "max", "and", "or", "xor"}));
  if (d.instruction.mode >= kAnd) {
    d.instruction.type = d.take_type({Type::kB32});
  } else {
    d.instruction.type = d.take_type({Type::kU32, Type::kS32});
  }
  d.instruction.handler = &reduce;
  meet_at(d, 2);
}

void decode_elect(Decoding& d) {
  d.operands(2, 2);
  if (!d.take("sync")) d.refuse();
  d.instruction.handler = &elect;
  meet_at(d, 1);
}

void decode_active_mask(Decoding& d) {
  d.operands(1, 1);
  d.instruction.type = d.take_type({Type::kB32});
  d.instruction.handler = &active_mask;
}

}  // namespace

void add_collective_instructions(InstructionTable& table) {
  table["shfl"].add(decode_shuffle, ".sync.up|.down|.bfly|.idx.b32");
  table["vote"].add(decode_vote, ".sync.ballot.b32; .sync.any|.all|.uni.pred");
  table["match"].add(decode_match, ".any|.all.sync.b32|.b64");
  table["redux"].add(decode_reduce, ".sync.add|.min|.max.u32|.s32; .sync.and|.or|.xor.b32");
  table["elect"].add(decode_elect, ".sync");
  table["activemask"].add(decode_active_mask, ".b32");
}

}  // namespace reformer::ptx
