// cp.async: copies from global to shared memory that land when the thread waits for them, and not
// before: a kernel that forgets to wait is told so.
#include <algorithm>
#include <cstring>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/memory_access.h"

namespace reformer::ptx {
namespace {

void begin(const Instruction& in, Warp& warp, LaneMask mask) {
  const int bytes = in.vector;
  LaneValues to, from, host_to;
  addresses_of(in, warp, in.operands[0], Space::kShared, mask, to);
  addresses_of(in, warp, in.operands[1], Space::kGlobal, mask, from);
  const Source valid(warp, in.operands[in.flag ? 3 : 2]);
  for_lanes(mask, [&](int l) { host_to[l] = to[l]; });
  // The destination counts as written now, and once more when the copy lands.
  reach(in, warp, {.space = Space::kShared, .bytes = bytes, .writes = true}, mask, host_to);
  LaneMask copying = 0;
  for_lanes(mask, [&](int l) { copying |= (static_cast<u32>(valid[l]) != 0 ? 1U : 0U) << l; });
  LaneMask whole = 0;
  for_lanes(copying, [&](int l) {
    whole |= (static_cast<u32>(valid[l]) >= static_cast<u32>(bytes) ? 1U : 0U) << l;
  });
  const MemoryAccess read{.space = Space::kGlobal, .bytes = bytes, .reads = true};
  if (whole != 0) reach(in, warp, read, whole, from);
  for_lanes(copying & ~whole, [&](int l) {
    // Only some bytes are read, one by one.
    for (u64 i = static_cast<u32>(valid[l]); i-- > 0;) {
      LaneValues place{};
      place[l] = from[l] + i;
      reach(in, warp, {.space = Space::kGlobal, .bytes = 1, .reads = true}, LaneMask{1} << l,
            place);
      if (i == 0) from[l] = place[l];
    }
  });
  for_lanes(mask, [&](int l) {
    const u32 wanted = std::min(static_cast<u32>(bytes), static_cast<u32>(valid[l]));
    std::memset(host(host_to[l]), 0xff, static_cast<std::size_t>(bytes));
    warp.block.shared.begin_copy(static_cast<u32>(to[l]), static_cast<u32>(bytes));
    warp.open_copies[l].push_back(
        {static_cast<u32>(to[l]), host(from[l]), static_cast<u32>(bytes), wanted});
  });
}

void commit(const Instruction&, Warp& warp, LaneMask mask) {
  for_lanes(mask, [&](int l) {
    warp.copy_groups[l].push_back(std::move(warp.open_copies[l]));
    warp.open_copies[l].clear();
  });
}

void land(Warp& warp, int lane, const Warp::Copy& copy) {
  SharedMemory& shared = warp.block.shared;
  shared.end_copy(copy.to, copy.bytes);
  LaneValues offsets{};
  offsets[lane] = copy.to;
  const auto conflict = shared.observe({.warp = warp.number,
                                        .lane_epoch = warp.lane_epoch,
                                        .lanes = LaneMask{1} << lane,
                                        .offsets = offsets.data(),
                                        .bytes = static_cast<int>(copy.bytes),
                                        .access = Access::kWrite,
                                        .strong = false});
  if (conflict) warp.fault(conflict->reason, lane);
  std::memset(shared.data() + copy.to, 0, copy.bytes);
  if (copy.valid != 0) std::memcpy(shared.data() + copy.to, copy.from, copy.valid);
}

// wait_group n: all groups but the last n; wait_all (`flag`): all copies.
void wait(const Instruction& in, Warp& warp, LaneMask mask) {
  if (in.flag) commit(in, warp, mask);
  const std::size_t keep = in.flag ? 0 : static_cast<std::size_t>(in.operands[0].value());
  for_lanes(mask, [&](int l) {
    auto& groups = warp.copy_groups[l];
    const std::size_t done = groups.size() - std::min(groups.size(), keep);
    for (std::size_t i = 0; i < done; ++i) {
      for (const Warp::Copy& copy : groups[i]) land(warp, l, copy);
    }
    groups.erase(groups.begin(), groups.begin() + static_cast<std::ptrdiff_t>(done));
  });
}

void decode_copy(Decoding& d) {
  Instruction& in = d.instruction;
  if (!d.take("async")) d.refuse();
  switch (d.take_any({"commit_group", "wait_group", "wait_all"})) {
    case 0:
      d.operands(0, 0);
      in.handler = &commit;
      return;
    case 1:
      d.operands(1, 1);
      in.handler = &wait;
      return;
    case 2:
      d.operands(0, 0);
      in.flag = true;
      in.handler = &wait;
      return;
    default:
      break;
  }
  const bool cache_global = d.take_one({"ca", "cg"}) == 1;
  if (!d.take("shared") && !d.take("shared::cta")) d.refuse();
  if (!d.take("global")) d.refuse();
  d.take_any({"L2::64B", "L2::128B", "L2::256B"});
  const std::size_t policy = d.take("L2::cache_hint") ? 1 : 0;
  d.operands(3 + policy, 4 + policy);
  in.flag = d.statement.operands.size() == 4 + policy;
  const u64 bytes = in.operands[2].value();
  if (bytes != 16 && (cache_global || (bytes != 4 && bytes != 8))) d.refuse();
  in.vector = static_cast<u8>(bytes);
  in.handler = &begin;
}

}  // namespace

void add_async_copy_instructions(InstructionTable& table) {
  table["cp"].add(decode_copy,
                  ".async.ca|.cg.shared.global{.L2::…}, 4, 8 (.ca) or 16 bytes, with the number of "
                  "bytes to copy; .async.commit_group; .async.wait_group; .async.wait_all");
}

}  // namespace reformer::ptx
