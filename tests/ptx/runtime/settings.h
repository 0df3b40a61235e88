// The environment variables of the stand-ins; README.md is their manual.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "tests/ptx/interpreter/interpreter.h"
#include "tests/ptx/runtime/stream_queue.h"

namespace reformer::ptx {

struct Settings {
  QueueSettings queue;           // PTX_ORDER, PTX_SEED
  LaunchOptions launch;          // PTX_WARPS, PTX_BLOCKS, PTX_CHECKS, PTX_THREADS, PTX_LIMIT
  bool unwritten_copies = true;  // PTX_CHECKS: only written memory is copied to the host
  int devices = 1;               // PTX_DEVICES
  size_t memory = 0;             // PTX_MEMORY: bytes of each device
  int highest_arch = 0;          // PTX_ARCH
  int verbose = 0;               // PTX_VERBOSE
  std::string coverage;          // PTX_COVERAGE: a folder, or empty
};

/// `environment` gives the value of a variable, or null. Throws std::runtime_error that names the
/// variable, its value and the legal ones.
Settings read_settings(const std::function<const char*(const char*)>& environment);

}  // namespace reformer::ptx
