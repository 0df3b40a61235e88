// The state of a running kernel: launch, blocks, warps.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "tests/ptx/interpreter/global_races.h"
#include "tests/ptx/interpreter/program.h"
#include "tests/ptx/interpreter/shared_memory.h"

namespace reformer::ptx {

struct LaunchState {
  const Kernel* kernel = nullptr;
  LaunchShape shape;
  LaunchOptions options;
  const DeviceMemory* memory = nullptr;
  std::vector<std::byte> parameters;
  u64 dynamic_base = 0;  // where dynamic shared memory begins
  u64 shared_bytes = 0;
  // What cooperative groups find through %envreg1 and 2: its size, and a word that blocks count in.
  alignas(16) std::array<u32, 8> grid_workspace = {8};
  std::unique_ptr<GlobalRaces> races;  // null: not looked for
  std::atomic<bool> stop = false;      // another host thread met a fault
};

// A position in the code of the module: lanes at the same call depth run in this order.
struct Position {
  int function = 0;
  int index = 0;
  friend auto operator<=>(const Position&, const Position&) = default;
};

struct Return {  // of one lane, for each function that it is in
  const Function* function = nullptr;
  const Instruction* call = nullptr;  // null: in the kernel
  Position to;                        // behind the call
  u64 local_base = 0;
};

// The registers and call parameters of all lanes that are at one call depth.
struct Frame {
  std::vector<u64> registers;         // [register][lane]
  std::vector<std::byte> parameters;  // [lane][byte]
};

// The modes of a barrier instruction.
enum class BarrierKind : u8 { kSync, kArrive, kCount, kAnd, kOr };

// The barrier at which a lane waits.
struct BarrierWait {
  const Instruction* instruction = nullptr;
  u32 number = 0;
  u32 threads = 0;  // for how many it waits; 0: for all
};

class Block;

class Warp {
 public:
  Warp(Block& block, int number);
  void restart();  // puts all lanes at the beginning of the kernel

  // The values of an operand in all lanes; `scratch` is where they are made, if they have to be.
  const u64* lanes(const Operand& operand, LaneValues& scratch) {
    if (operand.kind == OperandKind::kRegister) return registers + kLanes * operand.slot;
    if (operand.kind == OperandKind::kConstant) return operand.constant;
    return special_lanes(operand, scratch);
  }
  u64* slot(int number_of) { return registers + kLanes * number_of; }
  // Where to write a destination's lanes; null for a sink.
  u64* destination(const Operand& operand) {
    return operand.kind == OperandKind::kRegister ? slot(operand.slot) : nullptr;
  }
  u64* second_destination(const Operand& operand) {
    return operand.second >= 0 ? slot(operand.second) : nullptr;
  }

  // Puts a lane at the beginning of a function that it is to leave to `to`.
  void enter(int lane, const Function& function, const Instruction* call, Position to);
  void use_frame(int depth_of);
  std::byte* local(int lane) {
    return local_.data() + static_cast<std::size_t>(lane) * local_stride_;
  }
  std::size_t local_bytes() const { return local_stride_; }

  [[noreturn]] void fault(const std::string& reason, int lane) const;
  [[noreturn]] void fault(const std::string& reason, int lane, const Instruction& at) const;

  Block& block;
  LaunchState& launch;
  const int number;
  const u32 first_thread;
  const int lane_count;

  const Instruction* instruction = nullptr;  // the one that runs
  u64* registers = nullptr;                  // of the frame that runs
  std::byte* parameters = nullptr;
  std::size_t parameter_stride = 0;
  s64 budget = 0;        // what the warp may still do before another one has its turn
  bool yielded = false;  // the block need not be gone on with at once

  LaneMask live = 0;        // lanes that have not come to their end
  LaneMask at_barrier = 0;  // of these, the ones that wait there
  LaneMask avoid = 0;       // lanes that ran last when the budget was spent: others go first
  PerLane<Position> position{};
  PerLane<int> depth{};
  PerLane<std::vector<Return>> returns;
  PerLane<BarrierWait> wait{};
  PerLane<u64> carry{};
  std::vector<Frame> frames;

  // The allocations of global memory that were used last.
  std::array<Allocation, 4> allocations{};
  std::size_t next_allocation = 0;  // the one to forget next

  // cp.async copies of each lane: those of no group yet, then the groups not waited for, oldest
  // first.
  struct Copy {
    u32 to = 0;  // offset in shared memory
    const std::byte* from = nullptr;
    u32 bytes = 0;
    u32 valid = 0;  // bytes copied, the rest is 0
  };
  PerLane<std::vector<Copy>> open_copies;
  PerLane<std::vector<std::vector<Copy>>> copy_groups;
  u32 lane_epoch = 1;  // counts warp-wide synchronisations

 private:
  const u64* special_lanes(const Operand& operand, LaneValues& scratch);
  void grow_local(std::size_t bytes, int lane);
  void fill(Special special, LaneValues& values) const;
  u64 value_of(Special special, int lane) const;

  std::vector<std::byte> local_;
  std::size_t local_stride_ = 0;
  std::array<std::unique_ptr<LaneValues>, static_cast<std::size_t>(Special::kCount)> special_;
  std::array<bool, static_cast<std::size_t>(Special::kCount)> special_known_{};
};

class Block {
 public:
  // `counts` [function][instruction]: thread-instructions executed, shared by the blocks of one
  // host thread.
  Block(LaunchState& launch, std::vector<std::vector<u64>>& counts);
  void restart(u64 index);  // as block `index` of the grid

  LaunchState& launch;
  std::vector<std::vector<u64>>& counts;
  Dim3 position;
  u64 index = 0;
  SharedMemory shared;
  std::vector<std::unique_ptr<Warp>> warps;
  std::array<u32, 16> arrived{};  // threads that arrived without waiting, for each barrier
  u64 executed = 0;               // thread-instructions
  u32 interval = 0;               // barriers passed
};

// Runs a warp until all its lanes are done or wait (false), or its budget is spent (true).
bool run_warp(Warp& warp);

// Lets threads go on that wait for a barrier which all have reached. False if there is none such.
bool release_barriers(Block& block);

Dim3 thread_position(const Dim3& block, u32 thread);

}  // namespace reformer::ptx
