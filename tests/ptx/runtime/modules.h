// What programs register when they start: fat binaries, and the kernels and variables in them by
// the addresses of their host-side stand-ins. PTX is read when a device first needs it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/ptx/interpreter/interpreter.h"
#include "tests/ptx/runtime/checked_memory.h"
#include "tests/ptx/runtime/fat_binary.h"

namespace reformer::ptx {

/// A kernel on a device.
struct LoadedKernel {
  const Kernel* kernel = nullptr;
  const KernelInfo* info = nullptr;
  int arch = 0;
  /// cudaFuncAttributeMaxDynamicSharedMemorySize; shared by the devices.
  int* max_dynamic_shared = nullptr;
};

inline constexpr int kDefaultSharedBytes = 48 * 1024;

/// Safe to call from any thread. What is looked up throws std::runtime_error when it is not there,
/// ParseError when the PTX cannot be read.
class Modules {
 public:
  Modules(CheckedMemory& memory, int devices, int highest_arch);

  /// A handle. A fat binary without usable PTX is refused when it is first needed.
  void** add_binary(const std::byte* fat_binary);
  void add_kernel(void** binary, const void* host_function, std::string name);
  void add_variable(void** binary, const void* host_variable, std::string name);

  bool has_kernel(const void* host_function) const;
  LoadedKernel kernel(const void* host_function, int device);
  bool has_variable(const void* host_variable) const;
  VariableInfo variable(const void* host_variable, int device);

  /// The highest architecture of the images that were chosen; 80 before any was.
  int arch() const;

 private:
  struct Binary {
    PtxImage image;
    std::string error;
    std::vector<std::unique_ptr<Module>> modules;  // by device; null: not loaded yet
  };
  struct Symbol {
    Binary* binary = nullptr;
    std::string name;
    int max_dynamic_shared = kDefaultSharedBytes;  // of kernels
  };

  Module& module(Binary& binary, int device);

  CheckedMemory& memory_;
  const int devices_;
  const int highest_arch_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::list<Binary> binaries_;
  std::map<const void*, Symbol> kernels_;
  std::map<const void*, Symbol> variables_;
};

}  // namespace reformer::ptx
