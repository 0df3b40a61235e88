// Barriers of a block: who waits, who is let go on, and what a reduction at a barrier gives.
#include <algorithm>
#include <bit>

#include "tests/ptx/interpreter/lanes.h"
#include "tests/ptx/interpreter/warp.h"

namespace reformer::ptx {
namespace {

constexpr u32 kBarriers = 16;

template <class F>
void for_waiting(Block& block, u32 number, F f) {
  for (const auto& warp : block.warps) {
    for (LaneMask lanes = warp->at_barrier; lanes != 0; lanes &= lanes - 1) {
      const int lane = std::countr_zero(lanes);
      if (warp->wait[lane].number == number) f(*warp, lane);
    }
  }
}

void refuse_different_barriers(Block& block, u32 number) {
  const Instruction* first = nullptr;
  for_waiting(block, number, [&](Warp& warp, int lane) {
    const Instruction* at = warp.wait[lane].instruction;
    if (first != nullptr && first != at) {
      warp.fault("threads meet in one barrier from different places, the other at line " +
                     std::to_string(first->line),
                 lane, *at);
    }
    first = at;
  });
}

// bar.red: what all threads get.
void reduce(Block& block, u32 number, const Instruction& in) {
  u64 count = 0, total = 0;
  for_waiting(block, number, [&](Warp& warp, int lane) {
    warp.use_frame(warp.depth[lane]);
    const Instruction& own = *warp.wait[lane].instruction;
    const PredicateSource predicate(warp, own.operands[own.statement->operands.size() - 1]);
    if (predicate[lane]) ++count;
    ++total;
  });
  const auto kind = static_cast<BarrierKind>(in.mode);
  const u64 result = kind == BarrierKind::kCount ? count
                     : kind == BarrierKind::kAnd ? (count == total ? 1 : 0)
                                                 : (count > 0 ? 1 : 0);
  for_waiting(block, number, [&](Warp& warp, int lane) {
    warp.use_frame(warp.depth[lane]);
    const Operand& to = warp.wait[lane].instruction->operands[0];
    if (u64* d = warp.destination(to)) d[lane] = result;
  });
}

bool release(Block& block, u32 number, u32 live) {
  u32 waiting = 0, needed = 0;
  const Instruction* instruction = nullptr;
  for_waiting(block, number, [&](Warp& warp, int lane) {
    ++waiting;
    needed = std::max(needed, warp.wait[lane].threads);
    instruction = warp.wait[lane].instruction;
  });
  if (needed == 0) needed = live;
  if (waiting == 0 || waiting + block.arrived[number] < needed) return false;
  if (block.launch.options.strict_barriers) refuse_different_barriers(block, number);
  if (static_cast<BarrierKind>(instruction->mode) >= BarrierKind::kCount) {
    reduce(block, number, *instruction);
  }
  for_waiting(block, number, [&](Warp& warp, int lane) {
    warp.at_barrier &= ~(LaneMask{1} << lane);
    ++warp.lane_epoch;
  });
  block.arrived[number] = std::max(block.arrived[number] + waiting, needed) - needed;
  block.shared.pass_barrier();
  ++block.interval;
  return true;
}

}  // namespace

bool release_barriers(Block& block) {
  u32 live = 0;
  LaneMask waiting = 0;
  for (const auto& warp : block.warps) {
    live += static_cast<u32>(std::popcount(warp->live));
    waiting |= warp->at_barrier;
  }
  bool released = false;
  for (u32 number = 0; number < kBarriers && waiting != 0; ++number) {
    released |= release(block, number, live);
  }
  return released;
}

}  // namespace reformer::ptx
