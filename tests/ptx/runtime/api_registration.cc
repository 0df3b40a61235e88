// What nvcc's generated code calls: registration before main(), and the launches of <<<…>>>.
#include <string>
#include <utility>
#include <vector>

#include "tests/ptx/runtime/launch.h"

using reformer::ptx::Runtime;

namespace {

/// What the program hands over for a fat binary (fatbinary_section.h calls it a wrapper).
struct FatBinaryWrapper {
  int magic;
  int version;
  const std::byte* data;
  void* file_name;
};

struct Configuration {
  dim3 grid;
  dim3 block;
  size_t shared_bytes;
  cudaStream_t stream;
};

std::vector<Configuration>& configurations() {
  thread_local std::vector<Configuration> stack;
  return stack;
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  return Runtime::instance().modules.add_binary(static_cast<FatBinaryWrapper*>(wrapper)->data);
}

void __cudaRegisterFatBinaryEnd(void**) {}

void __cudaUnregisterFatBinary(void**) {}

void __cudaRegisterFunction(void** binary, const char* host_function, char*, const char* name, int,
                            uint3*, uint3*, dim3*, dim3*, int*) {
  Runtime::instance().modules.add_kernel(binary, host_function, name);
}

void __cudaRegisterVar(void** binary, char* host_variable, char*, const char* name, int, size_t,
                       int, int) {
  Runtime::instance().modules.add_variable(binary, host_variable, name);
}

char __cudaInitModule(void**) {
  return 1;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes,
                                     cudaStream_t stream) {
  configurations().push_back({grid, block, shared_bytes, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared_bytes,
                                       cudaStream_t* stream) {
  if (configurations().empty()) {
    return reformer::ptx::remember(cudaErrorMissingConfiguration);
  }
  const Configuration top = configurations().back();
  configurations().pop_back();
  *grid = top.grid;
  *block = top.block;
  *shared_bytes = top.shared_bytes;
  *stream = top.stream;
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host_function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(host_function));
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               size_t shared_bytes, cudaStream_t stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, stream);
}

}  // extern "C"
