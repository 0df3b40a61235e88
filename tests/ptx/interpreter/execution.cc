// Runs a warp. Each lane has a program counter of its own. The group that runs is the one at the
// greatest call depth and, there, at the smallest position, until it comes to where others stand:
// so lanes that have parted meet again as early as they can. A warp-wide instruction waits until
// all lanes that it names have come to it.
#include <bit>
#include <climits>
#include <cstring>
#include <string>

#include <immintrin.h>

#include "tests/ptx/interpreter/lanes.h"
#include "tests/ptx/interpreter/warp.h"

namespace reformer::ptx {
namespace {

LaneMask predicate_mask(const u64* lanes) {
  LaneMask mask = 0;
  for (int l = 0; l < kLanes; l += 4) {
    const __m256i values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + l));
    const __m256i tops = _mm256_slli_epi64(values, 63);
    mask |= static_cast<LaneMask>(_mm256_movemask_pd(_mm256_castsi256_pd(tops))) << l;
  }
  return mask;
}

template <class F>
void for_each(LaneMask mask, F f) {
  for (; mask != 0; mask &= mask - 1) f(std::countr_zero(mask));
}

class WarpRun {
 public:
  explicit WarpRun(Warp& warp) : warp_(warp), kernel_(*warp.launch.kernel) {}

  bool run() {
    while (choose()) {
      run_group();
      if (spent_) {
        warp_.avoid = group_;
        return true;
      }
    }
    return false;
  }

 private:
  enum class Step { kOn, kStop };

  // The group that is to run, and where it has to stop to let others join. False where no lane can
  // go on.
  bool choose() {
    const LaneMask running = warp_.live & ~warp_.at_barrier;
    LaneMask candidates = running & ~waiting_;
    if ((candidates & ~warp_.avoid) != 0) candidates &= ~warp_.avoid;
    warp_.avoid = 0;
    if (candidates == 0) return false;
    depth_ = -1;
    for_each(candidates, [&](int l) {
      const bool first =
          warp_.depth[l] > depth_ || (warp_.depth[l] == depth_ && warp_.position[l] < begin_);
      if (!first) return;
      depth_ = warp_.depth[l];
      begin_ = warp_.position[l];
    });
    group_ = 0;
    stop_ = INT_MAX;
    for_each(running, [&](int l) {
      if (warp_.depth[l] != depth_) return;
      const Position& at = warp_.position[l];
      if (at == begin_) {
        group_ |= LaneMask{1} << l;
      } else if (at.function == begin_.function && at.index > begin_.index) {
        stop_ = std::min(stop_, at.index);
      }
    });
    return true;
  }

  void run_group() {
    warp_.use_frame(depth_);
    const auto function = static_cast<std::size_t>(begin_.function);
    const Instruction* code = kernel_.module->functions[function].code.data();
    u64* counts = warp_.block.counts[function].data();
    moved_ = false;
    spent_ = false;
    at_ = begin_.index;
    u64 executed = 0;
    while (at_ < stop_) {
      const Instruction& in = code[at_];
      warp_.instruction = &in;
      LaneMask mask = group_;
      if (in.predicate >= 0) {
        const LaneMask holding = predicate_mask(warp_.slot(in.predicate));
        mask &= in.predicate_negated ? ~holding : holding;
      }
      if (in.meeting != Meeting::kNone && mask != 0 && !all_are_here(in, mask)) break;
      const u64 lanes = static_cast<u64>(std::popcount(mask));
      executed += lanes;
      counts[at_] += lanes;
      moved_ = true;
      --warp_.budget;
      if (in.flow == Flow::kNext) {
        if (mask != 0) in.handler(in, warp_, mask);
        ++at_;
        if (warp_.budget <= 0) {
          spent_ = true;
          break;
        }
        continue;
      }
      if (change_flow(in, mask) == Step::kStop) break;
    }
    warp_.block.executed += executed;
    if (at_ >= 0) place(group_, at_);
    if (moved_) waiting_ = 0;
  }

  void place(LaneMask lanes, int index) {
    for_each(lanes, [&](int l) { warp_.position[l] = {begin_.function, index}; });
  }

  // Whether the lanes that a warp-wide instruction names have all come to it; else the group waits.
  bool all_are_here(const Instruction& in, LaneMask mask) {
    LaneMask needed = warp_.live;
    if (in.meeting == Meeting::kMembers) {
      needed = 0;
      const Source members(warp_, in.operands[static_cast<std::size_t>(in.members)]);
      for_each(mask, [&](int l) {
        const LaneMask named = static_cast<LaneMask>(members[l]);
        if (!holds(named, l)) warp_.fault("a lane is not in its own member mask", l);
        if ((named & ~warp_.live) != 0) {
          warp_.fault("a member mask names lane " +
                          std::to_string(std::countr_zero(named & ~warp_.live)) +
                          ", which has ended or never was",
                      l);
        }
        needed |= named;
      });
    }
    if ((needed & ~mask) == 0) {
      if (mask == warp_.live) ++warp_.lane_epoch;
      return true;
    }
    if (!moved_) waiting_ |= group_;
    return false;
  }

  // After it, lanes whose predicate does not hold stand behind the instruction.
  Step change_flow(const Instruction& in, LaneMask mask) {
    if (in.flow == Flow::kBranch && (mask == 0 || (mask == group_ && stop_ == INT_MAX))) {
      at_ = mask == 0 ? at_ + 1 : in.target;
      spent_ = warp_.budget <= 0;
      return spent_ ? Step::kStop : Step::kOn;
    }
    place(group_ & ~mask, at_ + 1);
    switch (in.flow) {
      case Flow::kBranch:
        place(mask, in.target);
        spent_ = warp_.budget <= 0;
        break;
      case Flow::kBranchTable:
        branch_by_table(in, mask);
        break;
      case Flow::kCall:
        for_each(mask, [&](int l) { call(in, l); });
        break;
      case Flow::kBarrier:
        arrive(in, mask);
        break;
      case Flow::kReturn:
        if (depth_ > 0) {
          for_each(mask, [&](int l) { leave(l); });
          break;
        }
        [[fallthrough]];
      default:
        warp_.live &= ~mask;
    }
    at_ = -1;
    return Step::kStop;
  }

  void branch_by_table(const Instruction& in, LaneMask mask) {
    const Source index(warp_, in.operands[0]);
    for_each(mask, [&](int l) {
      const auto i = static_cast<u32>(index[l]);
      if (i >= in.targets.size()) warp_.fault("brx beyond its table", l);
      warp_.position[l] = {begin_.function, in.targets[i]};
    });
  }

  std::byte* parameters(int depth, int lane) {
    return warp_.frames[static_cast<std::size_t>(depth)].parameters.data() +
           static_cast<std::size_t>(lane) * kernel_.frame_parameter_bytes;
  }

  static void copy(std::byte* to, const Argument& at, const std::byte* from, const Argument& of) {
    std::memcpy(to + at.offset, from + of.offset, std::min(at.bytes, of.bytes));
  }

  const Function* callee(const Instruction& in, int lane) {
    if (in.call->function != nullptr) return in.call->function;
    if (in.operands[0].kind != OperandKind::kRegister) return nullptr;
    const u64 number = warp_.slot(in.operands[0].slot)[lane] - kFunctionWindow;
    if (number >= kernel_.module->functions.size()) warp_.fault("a call of no function", lane);
    const Function& function = kernel_.module->functions[number];
    return function.decoded ? &function : nullptr;
  }

  void call(const Instruction& in, int lane) {
    const Function* function = callee(in, lane);
    if (function == nullptr) {
      if (in.call->name == "__assertfail") warp_.fault("an assertion failed", lane);
      if (in.call->name != "vprintf") {
        warp_.fault("a call of a function without a body", lane);
      }
      warp_.position[lane] = {begin_.function, at_ + 1};
      return;
    }
    warp_.enter(lane, *function, &in, {begin_.function, at_ + 1});
    const auto& arguments = in.call->arguments;
    for (std::size_t i = 0; i < std::min(arguments.size(), function->parameters.size()); ++i) {
      copy(parameters(depth_ + 1, lane), function->parameters[i], parameters(depth_, lane),
           arguments[i]);
    }
  }

  void leave(int lane) {
    const Return done = warp_.returns[lane].back();
    const auto& results = done.call->call->results;
    for (std::size_t i = 0; i < std::min(results.size(), done.function->results.size()); ++i) {
      copy(parameters(depth_ - 1, lane), results[i], parameters(depth_, lane),
           done.function->results[i]);
    }
    warp_.returns[lane].pop_back();
    --warp_.depth[lane];
    warp_.position[lane] = done.to;
  }

  void arrive(const Instruction& in, LaneMask mask) {
    const auto kind = static_cast<BarrierKind>(in.mode);
    const bool reduces = kind >= BarrierKind::kCount;
    const std::size_t number_at = reduces ? 1 : 0;
    const Operand& threads_operand = in.operands[number_at + 1];
    const bool counts = in.statement->operands.size() == number_at + (reduces ? 3 : 2);
    const Source number(warp_, in.operands[number_at]);
    const Source threads(warp_, counts ? threads_operand : in.operands[number_at]);
    for_each(mask, [&](int l) {
      const auto barrier = static_cast<u32>(number[l]);
      if (barrier >= warp_.block.arrived.size()) warp_.fault("no barrier has this number", l);
      warp_.position[l] = {begin_.function, at_ + 1};
      if (kind == BarrierKind::kArrive) {
        ++warp_.block.arrived[barrier];
        return;
      }
      warp_.wait[l] = {&in, barrier, counts ? static_cast<u32>(threads[l]) : 0};
      warp_.at_barrier |= LaneMask{1} << l;
    });
    if (in.flag) refuse_divergence(in, mask);
  }

  // All lanes of a warp have to come to one and the same barrier instruction.
  void refuse_divergence(const Instruction& in, LaneMask mask) {
    for_each(warp_.at_barrier & ~mask, [&](int l) {
      const Instruction& other = *warp_.wait[l].instruction;
      if (!other.flag || &other == &in) return;
      warp_.fault(
          "a divergent barrier: other lanes of the warp wait at line " + std::to_string(other.line),
          first_lane(mask));
    });
  }

  Warp& warp_;
  const Kernel& kernel_;
  LaneMask waiting_ = 0;  // lanes at a warp-wide instruction that others have not come to
  LaneMask group_ = 0;
  int depth_ = 0;
  Position begin_;
  int stop_ = 0;
  int at_ = 0;          // −1: each lane's position has been set
  bool moved_ = false;  // something has been executed
  bool spent_ = false;  // the budget
};

}  // namespace

bool run_warp(Warp& warp) {
  return WarpRun(warp).run();
}

}  // namespace reformer::ptx
