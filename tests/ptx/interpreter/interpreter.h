// Executes PTX, the assembly text that nvcc makes of CUDA kernels, on the CPU, and checks each
// kernel while it runs. README.md says what is covered and how far a result can be trusted.
//
//   Module module = Module::parse(text);                      // ParseError
//   module.load(memory);                                      // places the module's variables
//   launch(module.kernel("_Z5scalePfi"), {.grid = {4}, .block = {128}}, arguments, memory,
//   options);
//
// start here: errors.h, device_memory.h, coverage.h, then this file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/ptx/interpreter/coverage.h"
#include "tests/ptx/interpreter/device_memory.h"
#include "tests/ptx/interpreter/errors.h"

namespace reformer::ptx {

struct Parameter {
  std::size_t offset = 0;  // in the kernel's parameter space, in bytes
  std::size_t bytes = 0;
};

struct KernelInfo {
  std::string name;  // mangled
  std::vector<Parameter> parameters;
  std::size_t parameter_bytes = 0;
  std::size_t static_shared_bytes = 0;
  std::size_t local_bytes = 0;      // of the kernel itself, without the functions that it calls
  std::uint32_t max_threads = 0;    // of a block, from .maxntid or .reqntid; 0: not said
  Dim3 required_block = {0, 0, 0};  // from .reqntid; 0: not said
};

struct VariableInfo {
  std::string name;
  DeviceAddress address = 0;  // 0 before Module::load
  std::size_t bytes = 0;
  bool constant = false;  // .const
};

class Kernel;  // opaque; lives as long as its module
class ModuleData;

class Module {
 public:
  // Reads a whole PTX text. ParseError where it is malformed or has an unknown opcode; the
  // modifiers of an instruction are looked at when its kernel is first asked for, or by check().
  static Module parse(std::string text);

  Module(Module&&) noexcept;
  Module& operator=(Module&&) noexcept;
  ~Module();

  // Allocates the module's variables and writes their initial values. To be called once, before the
  // first kernel() or check(), where the module has variables.
  void load(DeviceMemory& memory);

  // Decodes every kernel. ParseError for the first instruction that the interpreter does not know.
  void check();

  bool has_kernel(std::string_view name) const;
  std::vector<std::string> kernel_names() const;
  // Decodes the kernel on the first call. std::out_of_range where there is none of this name,
  // ParseError as for check(). May be called by several host threads at once.
  const Kernel& kernel(std::string_view name);
  const KernelInfo& info(std::string_view name);  // as kernel()

  std::vector<VariableInfo> variables() const;
  const VariableInfo* variable(std::string_view name) const;  // null where there is none

 private:
  explicit Module(std::unique_ptr<ModuleData> data);
  std::unique_ptr<ModuleData> data_;
};

const KernelInfo& info(const Kernel& kernel);

enum class Order { kForward, kReversed, kShuffled };

struct LaunchShape {
  Dim3 grid = {};
  Dim3 block = {};
  std::size_t dynamic_shared_bytes = 0;
  bool cooperative = false;  // all blocks resident, grid.sync() works
};

struct LaunchOptions {
  // In which order warps of a block, and blocks of a grid, get to run. Shuffled warps also run for
  // random lengths between two changes.
  Order warp_order = Order::kForward;
  Order block_order = Order::kForward;
  std::uint64_t seed = 0;  // of the shuffled orders

  // Two warps of a block access the same bytes of shared memory, one of them writing, with no
  // barrier in between. Strong accesses (volatile, relaxed, atomic, …) do not count.
  bool shared_races = true;
  // The same in global memory, between warps of a block and between blocks of the launch; between
  // blocks what orders two accesses is a fence with a strong access before or after it, as in
  // grid.sync(). Two equal values written are a race as well. One host thread then runs all blocks.
  bool global_races = false;
  // Two lanes of a warp do so with no warp-wide synchronisation in between.
  bool lane_races = false;
  // A read of global memory that nobody has written (Allocation::written), and of shared memory.
  bool unwritten_global = true;
  bool unwritten_shared = false;
  // Threads of one block meet in one barrier from different bar.sync instructions.
  bool strict_barriers = false;
  // Thread-instructions that a block may execute before it counts as hanging; 0: no limit.
  std::uint64_t instruction_limit = 0;
  int host_threads = 1;
};

// Runs a kernel to its end. arguments[i] points at the value of parameter i, as for
// cudaLaunchKernel. Throws a Fault for what the kernel does wrong, std::invalid_argument for a
// launch that does not fit the kernel. Adds to `coverage` (not thread safe) where one is given.
// Returns the number of thread-instructions executed. Other launches may run at the same time.
std::uint64_t launch(const Kernel& kernel, const LaunchShape& shape,
                     std::span<const void* const> arguments, const DeviceMemory& memory,
                     const LaunchOptions& options = {}, Coverage* coverage = nullptr);

struct KnownInstruction {
  std::string opcode;
  std::string forms;  // the modifiers that are understood, in the notation of the PTX ISA
};
std::vector<KnownInstruction> known_instructions();

}  // namespace reformer::ptx
