#include <algorithm>
#include <cstring>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/function_decoder.h"
#include "tests/ptx/interpreter/parser.h"
#include "tests/ptx/interpreter/program.h"

namespace reformer::ptx {

ModuleData::ModuleData(std::string ptx) : text(std::move(ptx)), syntax(parse_syntax(text)) {
  number_functions();
  place_variables();
}

void ModuleData::number_functions() {
  for (const FunctionSyntax& function : syntax.functions) {
    for (const Statement& statement : function.statements) {
      if (!instruction_table().contains(statement.opcode)) {
        std::string name(statement.opcode);
        for (const std::string_view modifier : statement.modifiers) {
          name += "." + std::string(modifier);
        }
        throw ParseError("unknown instruction `" + name + "`", statement.line);
      }
    }
    const auto known = function_numbers_.find(function.name);
    if (known != function_numbers_.end()) {
      // Declared before it is defined.
      Function& declared = functions[static_cast<std::size_t>(known->second)];
      if (function.has_body) declared.syntax = &function;
      continue;
    }
    const int number = static_cast<int>(functions.size());
    function_numbers_[function.name] = number;
    Function& added = functions.emplace_back();
    added.name = function.name;
    added.syntax = &function;
    added.number = number;
  }
}

void ModuleData::place_variables() {
  for (const VariableSyntax& variable : syntax.variables) {
    if (variable_numbers_.contains(variable.name) && variable.external) continue;
    Variable placed;
    placed.info = {std::string(variable.name), 0, variable.bytes,
                   variable.space == Space::kConstant};
    placed.syntax = &variable;
    placed.shared = variable.space == Space::kShared;
    placed.dynamic = placed.shared && (variable.external || variable.bytes == 0);
    if (placed.shared && !placed.dynamic) placed.shared_offset = place(shared_bytes, variable);
    variable_numbers_[variable.name] = static_cast<int>(variables.size());
    variables.push_back(std::move(placed));
  }
}

const u64* ModuleData::constant(u64 value) {
  const auto [found, is_new] = constant_of_.try_emplace(value, nullptr);
  if (is_new) {
    LaneValues& copies = constants_.emplace_back();
    std::fill(copies.values, copies.values + kLanes, value);
    found->second = copies.data();
  }
  return found->second;
}

const Function* ModuleData::function_named(std::string_view name) const {
  const auto found = function_numbers_.find(name);
  if (found == function_numbers_.end()) return nullptr;
  return &functions[static_cast<std::size_t>(found->second)];
}

const Variable* ModuleData::variable_named(std::string_view name) const {
  const auto found = variable_numbers_.find(name);
  if (found == variable_numbers_.end()) return nullptr;
  return &variables[static_cast<std::size_t>(found->second)];
}

Function& ModuleData::decoded(const Function& function) {
  Function& own = functions[static_cast<std::size_t>(function.number)];
  if (!own.decoded) decode_function(own, *this);
  return own;
}

Kernel& ModuleData::kernel(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto known = kernels_.find(name);
  if (known != kernels_.end()) return *known->second;
  const Function* function = function_named(name);
  if (function == nullptr || !function->syntax->kernel || !function->syntax->has_body) {
    throw std::out_of_range("no kernel " + std::string(name));
  }
  auto kernel = std::make_unique<Kernel>();
  kernel->module = this;
  kernel->function = &decoded(*function);
  kernel->functions = {kernel->function};
  add_callees(*kernel);
  fill_info(*kernel);
  return *(kernels_[function->name] = std::move(kernel));
}

void ModuleData::add_callees(Kernel& kernel) {
  for (std::size_t i = 0; i < kernel.functions.size(); ++i) {
    const auto add = [&](const Function* callee) {
      const auto& known = kernel.functions;
      if (std::find(known.begin(), known.end(), callee) != known.end()) return;
      kernel.functions.push_back(&decoded(*callee));
    };
    const Function& caller = *kernel.functions[i];
    for (const Function* callee : caller.callees) add(callee);
    if (!caller.calls_indirectly) continue;
    for (const Function& any : functions) {
      if (!any.syntax->kernel && any.syntax->has_body) add(&any);
    }
  }
}

void ModuleData::fill_info(Kernel& kernel) const {
  const FunctionSyntax& of = *kernel.function->syntax;
  KernelInfo& info = kernel.info;
  info.name = of.name;
  for (const int i : of.parameters) {
    const VariableSyntax& parameter = of.parameter_space[static_cast<std::size_t>(i)];
    info.parameters.push_back({parameter.offset, parameter.bytes});
    info.parameter_bytes = std::max(info.parameter_bytes, parameter.offset + parameter.bytes);
  }
  bool uses_module_shared = false;
  for (const Function* function : kernel.functions) {
    uses_module_shared |= function->uses_module_shared;
    kernel.dynamic_alignment = std::max(kernel.dynamic_alignment, function->dynamic_alignment);
    info.static_shared_bytes = std::max(info.static_shared_bytes, function->syntax->shared_bytes);
    kernel.frame_parameter_bytes =
        std::max(kernel.frame_parameter_bytes, (function->parameter_bytes + 31) / 16 * 16);
    if (function != kernel.function) {
      kernel.frame_registers = std::max(kernel.frame_registers, function->registers);
    }
  }
  if (info.static_shared_bytes > 0) {
    info.static_shared_bytes += (shared_bytes + 127) / 128 * 128;
  } else if (uses_module_shared) {
    info.static_shared_bytes = shared_bytes;
  }
  info.local_bytes = kernel.function->local_bytes;
  info.max_threads = of.max_threads;
  info.required_block = of.required_block;
}

void ModuleData::check() {
  for (const Function& function : functions) {
    if (function.syntax->kernel && function.syntax->has_body) kernel(function.name);
  }
}

void ModuleData::load(DeviceMemory& memory) {
  if (loaded_) throw std::logic_error("a module is loaded twice");
  loaded_ = true;
  std::vector<Allocation> allocations;
  for (Variable& variable : variables) {
    Allocation allocation;
    // An external variable is the same module's: nothing is linked.
    if (!variable.shared && !variable.syntax->external) {
      allocation = memory.allocate_variable(variable.info.name,
                                            std::max<std::size_t>(1, variable.info.bytes),
                                            variable.syntax->alignment);
      variable.info.address = allocation.begin;
    }
    allocations.push_back(allocation);
  }
  for (std::size_t i = 0; i < variables.size(); ++i) write_values(variables[i], allocations[i]);
}

void ModuleData::write_values(const Variable& variable, const Allocation& allocation) const {
  const std::size_t element = static_cast<std::size_t>(bytes_of(variable.syntax->type));
  std::byte* to = allocation.host;
  for (const InitialValue& value : variable.syntax->values) {
    const u64 bits = value.symbol.empty() ? bits_for(value.number, variable.syntax->type)
                                          : address_of(value, variable);
    std::memcpy(to, &bits, element);
    to += element;
  }
}

u64 ModuleData::address_of(const InitialValue& value, const Variable& of) const {
  if (const Variable* variable = variable_named(value.symbol)) {
    return variable->info.address + static_cast<u64>(value.offset);
  }
  if (const Function* function = function_named(value.symbol)) {
    return kFunctionWindow + static_cast<u64>(function->number);
  }
  throw ParseError("unknown name `" + std::string(value.symbol) + "`", of.syntax->line);
}

Module::Module(std::unique_ptr<ModuleData> data) : data_(std::move(data)) {}
Module::Module(Module&&) noexcept = default;
Module& Module::operator=(Module&&) noexcept = default;
Module::~Module() = default;

Module Module::parse(std::string text) {
  return Module(std::make_unique<ModuleData>(std::move(text)));
}

void Module::load(DeviceMemory& memory) {
  data_->load(memory);
}
void Module::check() {
  data_->check();
}

bool Module::has_kernel(std::string_view name) const {
  const Function* function = data_->function_named(name);
  return function != nullptr && function->syntax->kernel && function->syntax->has_body;
}

std::vector<std::string> Module::kernel_names() const {
  std::vector<std::string> names;
  for (const Function& function : data_->functions) {
    if (has_kernel(function.name)) names.emplace_back(function.name);
  }
  return names;
}

const Kernel& Module::kernel(std::string_view name) {
  return data_->kernel(name);
}
const KernelInfo& Module::info(std::string_view name) {
  return data_->kernel(name).info;
}
const KernelInfo& info(const Kernel& kernel) {
  return kernel.info;
}

std::vector<VariableInfo> Module::variables() const {
  std::vector<VariableInfo> infos;
  for (const Variable& variable : data_->variables) {
    if (!variable.shared) infos.push_back(variable.info);
  }
  return infos;
}

const VariableInfo* Module::variable(std::string_view name) const {
  const Variable* variable = data_->variable_named(name);
  return variable == nullptr || variable->shared ? nullptr : &variable->info;
}

}  // namespace reformer::ptx
