// What the program's exit status means. Scripts and batch systems rely on these numbers.
#pragma once

#include <exception>
#include <string>

namespace reformer {

enum ExitCode : int {
  kExitOk = 0,
  kExitInternal = 1,    // a bug, or an error of an unforeseen kind
  kExitUsage = 2,       // command line or configuration
  kExitData = 3,        // DataError
  kExitCheckpoint = 4,  // CheckpointError
  kExitDevice = 5,      // DeviceError, memory included
  kExitComm = 6,        // CommError
  kExitDiverged = 7,    // DivergenceError
  kExitStopped = 8,     // SIGTERM, SIGINT or SIGUSR1: the step was finished and saved
};

ExitCode exit_code_of(const std::exception& error);

/// One line for a person.
std::string message_of(const std::exception& error);

}  // namespace reformer
