// A kernel in the form that runs: one Instruction for each statement, operands resolved, the
// function that executes it chosen by its types and modifiers.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/ptx/interpreter/interpreter.h"
#include "tests/ptx/interpreter/syntax.h"
#include "tests/ptx/interpreter/types.h"

namespace reformer::ptx {

using LaneMask = u32;
inline constexpr int kLanes = 32;
inline constexpr LaneMask kAllLanes = ~LaneMask{0};

// One value for each lane.
template <class T>
struct PerLane {
  T& operator[](int lane) { return values[lane]; }
  const T& operator[](int lane) const { return values[lane]; }
  T* data() { return values; }
  const T* data() const { return values; }

  alignas(32) T values[kLanes];
};
using LaneValues = PerLane<u64>;

// Generic addresses of what does not lie in device memory, with gaps in between so that an offset
// too many does not lead from one into the next.
inline constexpr u64 kWindowBytes = u64{1} << 32;
inline constexpr u64 kSharedWindow = kReservedAddresses + 1 * kWindowBytes;
inline constexpr u64 kLocalWindow = kReservedAddresses + 3 * kWindowBytes;
inline constexpr u64 kParameterWindow = kReservedAddresses + 5 * kWindowBytes;  // of the kernel
inline constexpr u64 kFrameWindow = kReservedAddresses + 7 * kWindowBytes;  // parameters of calls
inline constexpr u64 kGridWindow = kReservedAddresses + 9 * kWindowBytes;   // what grid.sync() uses
inline constexpr u64 kFunctionWindow = kReservedAddresses + 11 * kWindowBytes;

constexpr bool in_window(u64 address, u64 window) {
  return address - window < kWindowBytes;
}

enum class Special : u8 {
  kThreadX,
  kThreadY,
  kThreadZ,
  kBlockSizeX,
  kBlockSizeY,
  kBlockSizeZ,
  kBlockX,
  kBlockY,
  kBlockZ,
  kGridX,
  kGridY,
  kGridZ,
  kLane,
  kWarp,
  kWarps,
  kMaskEqual,
  kMaskLess,
  kMaskLessEqual,
  kMaskGreater,
  kMaskGreaterEqual,
  kClock,
  kTime,
  kGridWorkspaceHigh,
  kGridWorkspaceLow,
  kDynamicShared,
  kTotalShared,
  kLocalBase,    // the frame of the current function in local memory
  kDynamicBase,  // where dynamic shared memory begins
  kZero,
  kOne,
  kWarpSize,
  kCount,
};

enum class OperandKind : u8 { kNone, kRegister, kConstant, kSpecial, kSink, kVector };

struct Operand {
  OperandKind kind = OperandKind::kNone;
  bool negated = false;  // of a predicate
  bool address = false;  // in brackets: the value plus `offset` is an address
  Special special = Special::kZero;
  u8 count = 0;                       // kVector
  int slot = -1;                      // kRegister: its lanes begin at registers[32 * slot]
  int second = -1;                    // the slot of the predicate after `|`
  s64 offset = 0;                     // of an address; added to kSpecial
  const u64* constant = nullptr;      // kConstant: 32 copies
  const Operand* elements = nullptr;  // kVector

  u64 value() const { return constant == nullptr ? 0 : constant[0]; }
};

class Warp;
struct Call;
struct Instruction;
using Handler = void (*)(const Instruction&, Warp&, LaneMask);

enum class Flow : u8 { kNext, kBranch, kBranchTable, kCall, kReturn, kExit, kBarrier };

// For which lanes a warp-wide instruction waits.
enum class Meeting : u8 { kNone, kMembers, kWarp };

struct Instruction {
  Handler handler = nullptr;
  Flow flow = Flow::kNext;
  Meeting meeting = Meeting::kNone;
  Type type = Type::kNone;
  Type source = Type::kNone;  // of what is converted or compared, where it is not `type`
  Rounding rounding = Rounding::kNearest;
  Space space = Space::kGeneric;
  bool ftz = false;       // subnormal floats count as 0
  bool saturate = false;  // to [0, 1]
  bool relu = false;
  bool strong = false;  // volatile, relaxed, acquire, release, atomic: meant to meet others
  bool acquire = false;
  bool release = false;
  u8 vector = 1;      // elements of a load or store
  u8 mode = 0;        // a choice of its family, named where it is decoded
  bool flag = false;  // likewise
  bool predicate_negated = false;
  int predicate = -1;  // slot
  int target = -1;     // kBranch
  int members = -1;    // kMembers: which operand is the mask
  int line = 0;
  std::array<Operand, 6> operands;
  std::vector<int> targets;       // kBranchTable
  std::vector<Operand> elements;  // of all vector operands
  std::array<Type, 4> types{};    // mma: d, a, b, c
  const Call* call = nullptr;     // kCall
  const Statement* statement = nullptr;
};

struct Argument {  // of a call, or a parameter: a piece of a frame's parameter memory
  std::size_t offset = 0;
  std::size_t bytes = 0;
};

struct Function;

struct Call {
  const Function* function = nullptr;  // null: through operand 0, or one without a body
  std::string_view name;               // of a function without a body
  std::vector<Argument> results;
  std::vector<Argument> arguments;
};

struct Function {
  std::string_view name;
  const FunctionSyntax* syntax = nullptr;
  int number = -1;
  bool decoded = false;
  bool uses_module_shared = false;
  std::size_t dynamic_alignment = 0;  // of dynamic shared memory; 0: not used
  std::vector<Instruction> code;
  std::deque<Call> calls;
  std::vector<Argument> parameters;
  std::vector<Argument> results;
  std::size_t parameter_bytes = 0;
  std::size_t local_bytes = 0;
  std::vector<const Function*> callees;
  bool calls_indirectly = false;
  int registers = 0;
};

struct Variable {
  VariableInfo info;
  const VariableSyntax* syntax = nullptr;
  std::size_t shared_offset = 0;  // of a module-wide .shared
  bool shared = false;
  bool dynamic = false;  // .extern .shared
};

class Kernel {
 public:
  KernelInfo info;
  const Function* function = nullptr;
  const ModuleData* module = nullptr;
  std::size_t dynamic_alignment = 16;
  std::vector<const Function*> functions;  // itself, then all that it can call
  // So much that the frame of each function that it calls fits.
  int frame_registers = 1;
  std::size_t frame_parameter_bytes = 16;
};

class ModuleData {
 public:
  explicit ModuleData(std::string ptx);

  const u64* constant(u64 value);  // 32 copies
  const Function* function_named(std::string_view name) const;
  const Variable* variable_named(std::string_view name) const;
  Kernel& kernel(std::string_view name);
  void load(DeviceMemory& memory);
  void check();

  std::string text;
  ModuleSyntax syntax;
  std::deque<Function> functions;
  std::deque<Variable> variables;
  std::size_t shared_bytes = 0;  // of module-wide .shared variables

 private:
  void number_functions();
  void place_variables();
  Function& decoded(const Function& function);
  void add_callees(Kernel& kernel);
  void fill_info(Kernel& kernel) const;
  void write_values(const Variable& variable, const Allocation& allocation) const;
  u64 address_of(const InitialValue& value, const Variable& of) const;

  std::unordered_map<std::string_view, int> function_numbers_;
  std::unordered_map<std::string_view, int> variable_numbers_;
  std::unordered_map<std::string_view, std::unique_ptr<Kernel>> kernels_;
  bool loaded_ = false;
  std::deque<LaneValues> constants_;
  std::unordered_map<u64, const u64*> constant_of_;
  std::recursive_mutex mutex_;
};

}  // namespace reformer::ptx
