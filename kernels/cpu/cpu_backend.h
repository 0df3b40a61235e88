// The CPU backend: a thread pool over tiles, OpenBLAS called single-threaded per tile, Highway
// kernels with run-time dispatch (any x86-64-v3 or better).
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace reformer {

/// `threads` = 0: one for each core that the process may run on.
std::unique_ptr<Backend> make_cpu_backend(int threads = 0);

}  // namespace reformer
