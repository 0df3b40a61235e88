// Launches: which blocks are resident, in which order they and their warps get to run, and on which
// host threads.
#include <algorithm>
#include <cstring>
#include <deque>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>

#include "tests/ptx/interpreter/warp.h"

namespace reformer::ptx {
namespace {

constexpr s64 kTurn = 5000;     // instructions of a warp before the next one has its turn
constexpr s64 kSlice = 400000;  // instructions of a block before the next one has its turn
constexpr std::size_t kResident =
    16;  // blocks of a host thread, where they need not wait for later ones

u64 threads_of(const Dim3& shape) {
  return u64{shape.x} * shape.y * shape.z;
}

// The order in which the warps of a block have their turns, and how long those are.
class Turns {
 public:
  Turns(const LaunchOptions& options, std::size_t warps, u64 block)
      : order_(options.warp_order),
        numbers_(warps),
        random_(options.seed * 0x9e3779b97f4a7c15 + block) {
    std::iota(numbers_.begin(), numbers_.end(), std::size_t{0});
    if (order_ == Order::kReversed) std::reverse(numbers_.begin(), numbers_.end());
  }
  const std::vector<std::size_t>& next_round() {
    if (order_ == Order::kShuffled) std::shuffle(numbers_.begin(), numbers_.end(), random_);
    return numbers_;
  }
  s64 length() {
    return order_ == Order::kShuffled ? std::uniform_int_distribution<s64>(1, 300)(random_) : kTurn;
  }

 private:
  Order order_;
  std::vector<std::size_t> numbers_;
  std::mt19937_64 random_;
};

struct Resident {
  std::unique_ptr<Block> block;
  Turns turns;
};

[[noreturn]] void deadlock(const Block& block) {
  std::string reason = "deadlock:";
  const Warp* first = nullptr;
  int first_of = 0;
  const auto instruction_of = [&](const Warp& warp, int lane) -> const Instruction& {
    const Position& at = warp.position[lane];
    const auto& code =
        block.launch.kernel->module->functions[static_cast<std::size_t>(at.function)].code;
    const bool waits = (warp.at_barrier >> lane & 1) != 0;
    return waits ? *warp.wait[lane].instruction : code[static_cast<std::size_t>(at.index)];
  };
  const Instruction* last = nullptr;
  for (const auto& warp : block.warps) {
    for (int l = 0; l < warp->lane_count; ++l) {
      if ((warp->live >> l & 1) == 0) continue;
      const Instruction& at = instruction_of(*warp, l);
      if (&at != last && reason.size() < 300) {
        reason += " from thread " + std::to_string(warp->first_thread + static_cast<u32>(l)) +
                  " on they wait at line " + std::to_string(at.line) + ",";
      }
      last = &at;
      if (first == nullptr) {
        first = warp.get();
        first_of = l;
      }
    }
  }
  reason.back() = ' ';
  first->fault(reason + "and nobody can go on", first_of, instruction_of(*first, first_of));
}

// Gives each warp a turn. Whether one of them had more to do.
bool run_round(Resident& resident, s64& used, bool& yielded) {
  bool spent = false;
  for (const std::size_t number : resident.turns.next_round()) {
    Warp& warp = *resident.block->warps[number];
    if (warp.live == 0) continue;
    const s64 turn = warp.budget = resident.turns.length();
    warp.yielded = false;
    spent |= run_warp(warp);
    used += turn - std::max<s64>(0, warp.budget);
    yielded |= warp.yielded;
  }
  return spent;
}

// Runs a block for a while. Whether it has come to its end.
bool run_slice(Resident& resident) {
  Block& block = *resident.block;
  const LaunchState& launch = block.launch;
  s64 used = 0;
  for (;;) {
    bool yielded = false;
    const bool spent = run_round(resident, used, yielded);
    const auto is_live = [](const auto& warp) { return warp->live != 0; };
    if (std::none_of(block.warps.begin(), block.warps.end(), is_live)) return true;
    const bool released = release_barriers(block);
    if (!released && !spent) deadlock(block);
    const u64 limit = launch.options.instruction_limit;
    if (limit != 0 && block.executed > limit) {
      const auto& warp = *std::find_if(block.warps.begin(), block.warps.end(), is_live);
      warp->fault(
          "a hang: the block has executed more than " + std::to_string(limit) + " instructions",
          std::countr_zero(warp->live));
    }
    if (launch.stop || (spent && (yielded || used > kSlice))) return false;
  }
}

class Grid {
 public:
  explicit Grid(LaunchState& launch) : launch_(launch), blocks_(threads_of(launch.shape.grid)) {
    const bool any_order =
        launch.shape.cooperative || launch.options.block_order != Order::kForward;
    resident_limit_ = any_order ? SIZE_MAX : kResident;
    if (launch.options.block_order == Order::kShuffled) {
      shuffled_.resize(blocks_);
      std::iota(shuffled_.begin(), shuffled_.end(), u64{0});
      std::mt19937_64 random(launch.options.seed);
      std::shuffle(shuffled_.begin(), shuffled_.end(), random);
    }
  }

  void run() {
    const int threads_wanted = launch_.races != nullptr ? 1 : launch_.options.host_threads;
    const u64 workers = std::clamp<u64>(static_cast<u64>(std::max(1, threads_wanted)), 1, blocks_);
    counts_.resize(workers);
    std::vector<std::thread> threads;
    for (u64 i = 1; i < workers; ++i) threads.emplace_back([this, i] { work(i); });
    work(0);
    for (std::thread& thread : threads) thread.join();
  }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

  u64 executed() const {
    u64 sum = 0;
    for (const auto& of_worker : counts_) {
      for (const auto& of_function : of_worker) {
        sum = std::accumulate(of_function.begin(), of_function.end(), sum);
      }
    }
    return sum;
  }

  void add_to(Coverage& coverage) const {
    KernelCoverage& kernel = coverage.kernels[launch_.kernel->info.name];
    ++kernel.launches;
    for (const Function* function : launch_.kernel->functions) {
      for (std::size_t i = 0; i < function->code.size(); ++i) {
        const Statement* statement = function->code[i].statement;
        u64 count = 0;
        for (const auto& of_worker : counts_) {
          count += of_worker[static_cast<std::size_t>(function->number)][i];
        }
        kernel.thread_instructions += count;
        if (statement == nullptr) continue;  // the end of a body, which nobody wrote
        kernel.lines[statement->line] |= count > 0;
        if (count > 0) coverage.instructions[kind_of(*statement)] += count;
      }
    }
  }

 private:
  static std::string kind_of(const Statement& statement) {
    std::string kind(statement.opcode);
    for (const std::string_view modifier : statement.modifiers) kind += "." + std::string(modifier);
    return kind;
  }

  u64 block_at(u64 turn) const {
    if (!shuffled_.empty()) return shuffled_[turn];
    return launch_.options.block_order == Order::kReversed ? blocks_ - 1 - turn : turn;
  }

  void work(u64 worker) {
    try {
      counts_[worker].resize(launch_.kernel->module->functions.size());
      for (const Function* function : launch_.kernel->functions) {
        counts_[worker][static_cast<std::size_t>(function->number)].resize(function->code.size());
      }
      run_blocks(counts_[worker]);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!launch_.stop.exchange(true)) failure_ = std::current_exception();
    }
  }

  // Blocks take turns. Another one becomes resident when one has ended, or when one that is
  // resident has not come to its end in its turn: it may wait for one that has not begun.
  void run_blocks(std::vector<std::vector<u64>>& counts) {
    std::deque<Resident> residents;
    std::vector<std::unique_ptr<Block>> unused;
    bool wants_more = true;
    while (!launch_.stop) {
      if (wants_more && residents.size() < resident_limit_) {
        const u64 turn = next_++;
        if (turn < blocks_) residents.push_front(begin(block_at(turn), counts, unused));
      }
      if (residents.empty()) return;
      Resident resident = std::move(residents.front());
      residents.pop_front();
      if (run_slice(resident)) {
        unused.push_back(std::move(resident.block));
        wants_more = residents.empty();
      } else {
        residents.push_back(std::move(resident));
        wants_more = true;
      }
    }
  }

  Resident begin(u64 index, std::vector<std::vector<u64>>& counts,
                 std::vector<std::unique_ptr<Block>>& unused) {
    if (unused.empty()) unused.push_back(std::make_unique<Block>(launch_, counts));
    std::unique_ptr<Block> block = std::move(unused.back());
    unused.pop_back();
    block->restart(index);
    const std::size_t warps = block->warps.size();
    return {std::move(block), Turns(launch_.options, warps, index)};
  }

  LaunchState& launch_;
  u64 blocks_;
  std::size_t resident_limit_ = 0;
  std::vector<u64> shuffled_;
  std::atomic<u64> next_ = 0;
  std::vector<std::vector<std::vector<u64>>> counts_;  // [worker][function][instruction]
  std::mutex mutex_;
  std::exception_ptr failure_;
};

void check_shape(const KernelInfo& kernel, const LaunchShape& shape, std::size_t arguments) {
  const auto refuse = [&](const std::string& why) {
    throw std::invalid_argument(demangled(kernel.name) + ": " + why);
  };
  const u64 threads = threads_of(shape.block);
  if (threads == 0 || threads_of(shape.grid) == 0) refuse("a launch of nothing");
  if (threads > 1024) refuse("a block of " + std::to_string(threads) + " threads");
  const Dim3& required = kernel.required_block;
  if (kernel.max_threads != 0 && threads > kernel.max_threads) {
    refuse("a block of " + std::to_string(threads) + " threads, but its launch bounds are " +
           std::to_string(kernel.max_threads));
  }
  if (required.x != 0 &&
      (required.x != shape.block.x || required.y != shape.block.y || required.z != shape.block.z)) {
    refuse("a block of another shape than .reqntid");
  }
  if (arguments != kernel.parameters.size()) {
    refuse(std::to_string(arguments) + " arguments for " +
           std::to_string(kernel.parameters.size()) + " parameters");
  }
}

}  // namespace

std::uint64_t launch(const Kernel& kernel, const LaunchShape& shape,
                     std::span<const void* const> arguments, const DeviceMemory& memory,
                     const LaunchOptions& options, Coverage* coverage) {
  check_shape(kernel.info, shape, arguments.size());
  LaunchState state;
  state.kernel = &kernel;
  state.shape = shape;
  state.options = options;
  state.memory = &memory;
  state.parameters.resize(kernel.info.parameter_bytes + 16);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Parameter& parameter = kernel.info.parameters[i];
    std::memcpy(state.parameters.data() + parameter.offset, arguments[i], parameter.bytes);
  }
  const u64 alignment = kernel.dynamic_alignment;
  state.dynamic_base = (kernel.info.static_shared_bytes + alignment - 1) / alignment * alignment;
  state.shared_bytes = state.dynamic_base + shape.dynamic_shared_bytes;
  if (options.global_races) state.races = std::make_unique<GlobalRaces>(threads_of(shape.grid));
  Grid grid(state);
  grid.run();
  if (coverage != nullptr) grid.add_to(*coverage);
  grid.rethrow();
  return grid.executed();
}

}  // namespace reformer::ptx
