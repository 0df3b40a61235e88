#include "tests/ptx/runtime/modules.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace reformer::ptx {
namespace {

constexpr int kDefaultArch = 80;

}  // namespace

Modules::Modules(CheckedMemory& memory, int devices, int highest_arch)
    : memory_(memory), devices_(devices), highest_arch_(highest_arch) {}

void** Modules::add_binary(const std::byte* fat_binary) {
  const std::lock_guard lock(mutex_);
  Binary& binary = binaries_.emplace_back();
  binary.modules.resize(static_cast<size_t>(devices_));
  try {
    binary.image = choose_ptx(fat_binary, highest_arch_);
  } catch (const std::runtime_error& error) {
    binary.error = error.what();
  }
  return reinterpret_cast<void**>(&binary);
}

void Modules::add_kernel(void** binary, const void* host_function, std::string name) {
  const std::lock_guard lock(mutex_);
  kernels_[host_function] = {.binary = reinterpret_cast<Binary*>(binary), .name = std::move(name)};
}

void Modules::add_variable(void** binary, const void* host_variable, std::string name) {
  const std::lock_guard lock(mutex_);
  variables_[host_variable] = {.binary = reinterpret_cast<Binary*>(binary),
                               .name = std::move(name)};
}

bool Modules::has_kernel(const void* host_function) const {
  const std::lock_guard lock(mutex_);
  return kernels_.contains(host_function);
}

LoadedKernel Modules::kernel(const void* host_function, int device) {
  const std::lock_guard lock(mutex_);
  Symbol& symbol = kernels_.at(host_function);
  const Kernel& kernel = module(*symbol.binary, device).kernel(symbol.name);
  return {.kernel = &kernel,
          .info = &info(kernel),
          .arch = symbol.binary->image.arch,
          .max_dynamic_shared = &symbol.max_dynamic_shared};
}

bool Modules::has_variable(const void* host_variable) const {
  const std::lock_guard lock(mutex_);
  return variables_.contains(host_variable);
}

VariableInfo Modules::variable(const void* host_variable, int device) {
  const std::lock_guard lock(mutex_);
  const Symbol& symbol = variables_.at(host_variable);
  const VariableInfo* const found = module(*symbol.binary, device).variable(symbol.name);
  if (found == nullptr) throw std::runtime_error("no variable " + symbol.name + " in the PTX");
  return *found;
}

int Modules::arch() const {
  const std::lock_guard lock(mutex_);
  int highest = 0;
  for (const Binary& binary : binaries_) highest = std::max(highest, binary.image.arch);
  return highest == 0 ? kDefaultArch : highest;
}

Module& Modules::module(Binary& binary, int device) {
  if (!binary.error.empty()) throw std::runtime_error(binary.error);
  std::unique_ptr<Module>& module = binary.modules[static_cast<size_t>(device)];
  if (module == nullptr) {
    auto loaded = std::make_unique<Module>(Module::parse(binary.image.text));
    DeviceView view(memory_, device);
    loaded->load(view);
    module = std::move(loaded);
  }
  return *module;
}

}  // namespace reformer::ptx
