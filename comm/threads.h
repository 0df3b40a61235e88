// Ranks as threads of one process, for tests: the same contracts as MPI, every memory access seen
// by the thread sanitizer, and ranks that disagree about an operation are found at once.
#pragma once

#include <chrono>
#include <functional>

#include "comm/communicator.h"

namespace reformer {

/// Runs body(communicator) once for each of `ranks` ranks, each on a thread of its own, and returns
/// when all have ended. When a body throws, the operations of all other ranks throw CommError, and
/// the exception that came first leaves this function.
void run_as_threads(int ranks, const std::function<void(Communicator&)>& body,
                    std::chrono::milliseconds timeout = std::chrono::minutes(2));

}  // namespace reformer
