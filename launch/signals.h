// SIGTERM, SIGINT and SIGUSR1 as a flag that the training loop looks at after each step. mpirun
// kills its processes soon after the first two, but passes the third on; Slurm sends any of them.
#pragma once

#include <atomic>

namespace reformer {

/// Installs handlers and returns the flag that they set. A second signal of
/// the same kind ends the process at once. SIGXFSZ is ignored, so that a file-size limit shows as
/// an error of the write.
const std::atomic<bool>& catch_stop_signals();

}  // namespace reformer
