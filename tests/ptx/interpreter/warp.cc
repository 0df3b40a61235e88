#include "tests/ptx/interpreter/warp.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>

#include "tests/ptx/interpreter/lanes.h"

namespace reformer::ptx {
namespace {

constexpr int kMostCalls = 1024;
constexpr std::size_t kMostLocalBytes = 512 * 1024;

int lanes_of(const Block& block, int number) {
  const Dim3& shape = block.launch.shape.block;
  const u32 threads = shape.x * shape.y * shape.z;
  return static_cast<int>(std::min<u32>(kLanes, threads - static_cast<u32>(number) * kLanes));
}

// The text of a statement on one line.
std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool blank = c == ' ' || (c >= '\t' && c <= '\r');
    if (!blank) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

}  // namespace

Dim3 thread_position(const Dim3& block, u32 thread) {
  return {thread % block.x, thread / block.x % block.y, thread / block.x / block.y};
}

Warp::Warp(Block& of, int number_in_block)
    : block(of),
      launch(of.launch),
      number(number_in_block),
      first_thread(static_cast<u32>(number_in_block) * kLanes),
      lane_count(lanes_of(of, number_in_block)) {}

void Warp::restart() {
  live = lane_count == kLanes ? kAllLanes : (LaneMask{1} << lane_count) - 1;
  at_barrier = 0;
  avoid = 0;
  for (int l = 0; l < lane_count; ++l) {
    depth[l] = -1;
    returns[l].clear();
    open_copies[l].clear();
    copy_groups[l].clear();
    carry[l] = 0;
    enter(l, *launch.kernel->function, nullptr, {});
  }
  for (const Special of_block : {Special::kBlockX, Special::kBlockY, Special::kBlockZ}) {
    special_known_[static_cast<std::size_t>(of_block)] = false;
  }
}

void Warp::enter(int lane, const Function& function, const Instruction* call, Position to) {
  const int now = ++depth[lane];
  const Kernel& kernel = *launch.kernel;
  if (now >= kMostCalls) fault("too many calls within calls", lane);
  if (static_cast<int>(frames.size()) <= now) {
    const int count = now == 0 ? kernel.function->registers : kernel.frame_registers;
    frames.push_back({std::vector<u64>(static_cast<std::size_t>(std::max(1, count)) * kLanes),
                      std::vector<std::byte>(kernel.frame_parameter_bytes * kLanes)});
  }
  u64 local_base = 0;
  if (!returns[lane].empty()) {
    const Return& caller = returns[lane].back();
    local_base = caller.local_base + (caller.function->local_bytes + 15) / 16 * 16;
  }
  returns[lane].push_back({&function, call, to, local_base});
  if (local_base + function.local_bytes > local_stride_) {
    grow_local(local_base + function.local_bytes, lane);
  }
  position[lane] = {function.number, 0};
}

void Warp::grow_local(std::size_t bytes, int lane) {
  if (bytes > kMostLocalBytes) fault("local memory overflows: calls within calls", lane);
  const std::size_t stride = (std::max(bytes, local_stride_ * 3 / 2) + 15) / 16 * 16;
  std::vector<std::byte> grown(stride * kLanes, std::byte{0xff});
  for (std::size_t l = 0; l < kLanes && local_stride_ > 0; ++l) {
    std::memcpy(grown.data() + l * stride, local_.data() + l * local_stride_, local_stride_);
  }
  local_ = std::move(grown);
  local_stride_ = stride;
}

void Warp::use_frame(int depth_of) {
  Frame& frame = frames[static_cast<std::size_t>(depth_of)];
  registers = frame.registers.data();
  parameters = frame.parameters.data();
  parameter_stride = launch.kernel->frame_parameter_bytes;
}

void Warp::fault(const std::string& reason, int lane) const {
  fault(reason, lane, *instruction);
}

void Warp::fault(const std::string& reason, int lane, const Instruction& at) const {
  FaultPlace place;
  place.kernel = demangled(launch.kernel->info.name);
  place.line = at.line;
  place.text = at.statement == nullptr ? "ret" : one_line(at.statement->text);
  place.block = block.position;
  place.thread = thread_position(launch.shape.block, first_thread + static_cast<u32>(lane));
  throw Fault(reason, place);
}

const u64* Warp::special_lanes(const Operand& operand, LaneValues& scratch) {
  if (operand.kind != OperandKind::kSpecial) fault("an operand that is not a value", 0);
  const auto index = static_cast<std::size_t>(operand.special);
  const bool changes = operand.special == Special::kClock || operand.special == Special::kTime ||
                       operand.special == Special::kLocalBase;
  if (changes || (operand.offset != 0 && !operand.address)) {
    fill(operand.special, scratch);
    if (!operand.address) {
      for (u64& value : scratch.values) value += static_cast<u64>(operand.offset);
    }
    return scratch.data();
  }
  if (!special_known_[index]) {
    if (special_[index] == nullptr) special_[index] = std::make_unique<LaneValues>();
    fill(operand.special, *special_[index]);
    special_known_[index] = true;
  }
  return special_[index]->data();
}

void Warp::fill(Special special, LaneValues& values) const {
  for (int l = 0; l < kLanes; ++l) values[l] = value_of(special, l);
}

u64 Warp::value_of(Special special, int lane) const {
  const LaunchShape& shape = launch.shape;
  const Dim3 thread = thread_position(shape.block, first_thread + static_cast<u32>(lane));
  const u64 bit = u64{1} << lane;
  const u64 workspace = shape.cooperative ? kGridWindow : 0;
  switch (special) {
    case Special::kThreadX:
      return thread.x;
    case Special::kThreadY:
      return thread.y;
    case Special::kThreadZ:
      return thread.z;
    case Special::kBlockSizeX:
      return shape.block.x;
    case Special::kBlockSizeY:
      return shape.block.y;
    case Special::kBlockSizeZ:
      return shape.block.z;
    case Special::kBlockX:
      return block.position.x;
    case Special::kBlockY:
      return block.position.y;
    case Special::kBlockZ:
      return block.position.z;
    case Special::kGridX:
      return shape.grid.x;
    case Special::kGridY:
      return shape.grid.y;
    case Special::kGridZ:
      return shape.grid.z;
    case Special::kLane:
      return static_cast<u64>(lane);
    case Special::kWarp:
      return static_cast<u64>(number);
    case Special::kWarps:
      return block.warps.size();
    case Special::kMaskEqual:
      return bit;
    case Special::kMaskLess:
      return bit - 1;
    case Special::kMaskLessEqual:
      return (bit << 1) - 1;
    case Special::kMaskGreater:
      return kAllLanes & ~((bit << 1) - 1);
    case Special::kMaskGreaterEqual:
      return kAllLanes & ~(bit - 1);
    case Special::kClock:
      return block.executed + 1;
    case Special::kTime:
      return static_cast<u64>(std::chrono::steady_clock::now().time_since_epoch().count());
    case Special::kGridWorkspaceHigh:
      return workspace >> 32;
    case Special::kGridWorkspaceLow:
      return static_cast<u32>(workspace);
    case Special::kDynamicShared:
      return shape.dynamic_shared_bytes;
    case Special::kTotalShared:
      return launch.shared_bytes;
    case Special::kLocalBase:
      return lane < lane_count && !returns[lane].empty()
                 ? kLocalWindow + returns[lane].back().local_base
                 : kLocalWindow;
    case Special::kDynamicBase:
      return launch.dynamic_base;
    case Special::kOne:
      return 1;
    case Special::kWarpSize:
      return kLanes;
    default:
      return 0;
  }
}

Block::Block(LaunchState& of, std::vector<std::vector<u64>>& executed_counts)
    : launch(of), counts(executed_counts) {
  const Dim3& shape = launch.shape.block;
  const u32 count = (shape.x * shape.y * shape.z + kLanes - 1) / kLanes;
  for (u32 i = 0; i < count; ++i) {
    warps.push_back(std::make_unique<Warp>(*this, static_cast<int>(i)));
  }
}

void Block::restart(u64 index_in_grid) {
  const Dim3& grid = launch.shape.grid;
  index = index_in_grid;
  position = {static_cast<u32>(index % grid.x), static_cast<u32>(index / grid.x % grid.y),
              static_cast<u32>(index / grid.x / grid.y)};
  shared.reset(launch.shared_bytes, launch.options);
  arrived.fill(0);
  executed = 0;
  interval = 0;
  for (const auto& warp : warps) warp->restart();
}

}  // namespace reformer::ptx
