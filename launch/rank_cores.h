// Which cores a rank uses.
#pragma once

#include <functional>
#include <string>

#include "comm/communicator.h"

namespace reformer {

/// Open MPI 4 ties every process to one core, or to one socket, unless told otherwise, so a rank
/// with threads would have a fraction of the machine. Undoes a binding that nobody asked for; one
/// that was asked for (--bind-to, --map-by …:pe=N, a rankfile) stays. Call before any thread is
/// started. `get` returns the value of an environment variable, or nullptr.
void undo_default_binding(const std::function<const char*(const char*)>& get);

/// Threads for this rank: the cores that it may run on, shared out over the ranks on this machine
/// that may run on the same ones; at least one. Collective.
int threads_of_rank(Communicator& communicator, const std::string& host);

}  // namespace reformer
