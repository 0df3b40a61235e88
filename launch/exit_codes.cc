#include "launch/exit_codes.h"

#include <new>

#include "kernels/core/errors.h"

namespace reformer {

ExitCode exit_code_of(const std::exception& error) {
  if (dynamic_cast<const ConfigError*>(&error)) return kExitUsage;
  if (dynamic_cast<const DataError*>(&error)) return kExitData;
  if (dynamic_cast<const CheckpointError*>(&error)) return kExitCheckpoint;
  if (dynamic_cast<const DeviceError*>(&error)) return kExitDevice;
  if (dynamic_cast<const std::bad_alloc*>(&error)) return kExitDevice;
  if (dynamic_cast<const CommError*>(&error)) return kExitComm;
  if (dynamic_cast<const DivergenceError*>(&error)) return kExitDiverged;
  return kExitInternal;
}

std::string message_of(const std::exception& error) {
  return dynamic_cast<const std::bad_alloc*>(&error) ? "out of memory" : error.what();
}

}  // namespace reformer
