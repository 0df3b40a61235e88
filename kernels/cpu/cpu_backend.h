// The CPU backend: a thread pool over tiles, OpenBLAS called single-threaded per tile, Highway
// kernels with run-time dispatch (any x86-64-v3 or better).
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace reformer {

/// `threads` = 0: one for each core that the process may run on.
std::unique_ptr<Backend> make_cpu_backend(int threads = 0);

/// The libraries that the CPU backend stands on, as they are on this machine.
struct CpuLibraries {
  std::string vector_target;  // what Highway's dispatch chose: "AVX2"
  std::string blas;           // "OpenBLAS 0.3.21 …"
  std::string blas_core;      // the processor that its kernels are for: "Haswell"
};
CpuLibraries cpu_libraries();

}  // namespace reformer
