// Branches, calls, barriers, fences and what ends a thread. What changes the flow of a warp is
// carried out where warps are run (execution.cc); here it is only decoded.
#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/lanes.h"

namespace reformer::ptx {
namespace {

void do_nothing(const Instruction&, Warp&, LaneMask) {}

// Others have their turn.
void sleep(const Instruction&, Warp& warp, LaneMask) {
  warp.budget = 0;
  warp.yielded = true;
}

void trap(const Instruction&, Warp& warp, LaneMask mask) {
  warp.fault("trap", first_lane(mask));
}

// `flag`: reaches other blocks.
void fence(const Instruction& in, Warp& warp, LaneMask) {
  if (in.flag && warp.launch.races != nullptr) warp.launch.races->fence(warp.block.index);
}

void decode_branch(Decoding& d) {
  d.operands(1, 1);
  d.take("uni");
  d.instruction.flow = Flow::kBranch;
}

void decode_branch_table(Decoding& d) {
  d.operands(2, 2);
  if (!d.take("idx")) d.refuse();
  d.take("uni");
  d.instruction.flow = Flow::kBranchTable;
}

void decode_call(Decoding& d) {
  d.operands(1, 4);
  d.take("uni");
  d.instruction.flow = Flow::kCall;
}

void decode_return(Decoding& d) {
  d.operands(0, 0);
  d.take("uni");
  d.instruction.flow = Flow::kReturn;
}

void decode_exit(Decoding& d) {
  d.operands(0, 0);
  d.instruction.flow = Flow::kExit;
}

void decode_trap(Decoding& d) {
  d.operands(0, 0);
  d.instruction.handler = &trap;
}

void decode_warp_barrier(Decoding& d) {
  d.operands(1, 1);
  if (!d.take("sync")) d.refuse();
  d.instruction.handler = &do_nothing;
  d.instruction.meeting = Meeting::kMembers;
  d.instruction.members = 0;
}

// mode: see BarrierKind. `flag`: .aligned, all lanes of a warp must come to the same instruction.
void decode_barrier(Decoding& d) {
  Instruction& in = d.instruction;
  if (d.take("warp")) return decode_warp_barrier(d);
  d.take("cta");
  const bool aligned = d.take("aligned");
  in.flag = aligned || d.statement.opcode == "bar";
  in.flow = Flow::kBarrier;
  const int kind = d.take_one({"sync", "arrive", "red"});
  in.mode = static_cast<u8>(kind);
  if (kind == 2) {
    in.mode = static_cast<u8>(2 + d.take_one({"popc", "and", "or"}));
    in.type = d.take_type({in.mode == 2 ? Type::kU32 : Type::kPredicate});
    d.operands(3, 4);
  } else {
    d.operands(kind == 1 ? 2 : 1, 2);
  }
}

void decode_fence(Decoding& d) {
  d.operands(0, 0);
  d.take_any({"sc", "acq_rel", "acquire", "release"});
  const int scope = d.take_one({"cta", "gl", "sys", "gpu", "cluster"});
  d.instruction.flag = scope > 0;
  d.instruction.handler = &fence;
}

void decode_sleep(Decoding& d) {
  d.operands(1, 1);
  d.instruction.type = d.take_type({Type::kU32});
  d.instruction.handler = &sleep;
}

void decode_ignored(Decoding& d) {
  d.operands(0, 1);
  d.take_any({"launch_dependents", "wait", "mask"});
  d.instruction.handler = &do_nothing;
}

}  // namespace

void add_control_instructions(InstructionTable& table) {
  table["bra"].add(decode_branch, "{.uni}");
  table["brx"].add(decode_branch_table, ".idx{.uni}");
  table["call"].add(decode_call, "{.uni}, direct and indirect; vprintf does nothing");
  table["ret"].add(decode_return, "{.uni}");
  table["exit"].add(decode_exit, "");
  table["trap"].add(decode_trap, ": a fault");
  table["brkpt"].add(decode_trap, ": a fault");
  table["bar"].add(decode_barrier,
                   "{.cta}.sync|.arrive; {.cta}.red.popc.u32|.and.pred|.or.pred; .warp.sync");
  table["barrier"].add(decode_barrier, "{.cta}.sync|.arrive|.red{.aligned}, as bar");
  table["membar"].add(decode_fence, ".cta|.gl|.sys");
  table["fence"].add(decode_fence, "{.sc|.acq_rel|.acquire|.release}.cta|.gpu|.sys|.cluster");
  table["nanosleep"].add(decode_sleep, ".u32: lets others run");
  table["pmevent"].add(decode_ignored, ": ignored");
  table["griddepcontrol"].add(decode_ignored, ".launch_dependents|.wait: ignored");
}

}  // namespace reformer::ptx
