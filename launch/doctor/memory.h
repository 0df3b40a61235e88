// Memory of the machine, what ranks share, and what networks want locked.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "launch/doctor/finding.h"

namespace reformer::doctor {

struct MemoryFacts {
  std::optional<size_t> machine = {};    // bytes
  std::optional<size_t> available = {};  // bytes that this process can still take
  std::optional<size_t> allowed = {};    // by the control group; none: all of the machine
  std::optional<size_t> shared = {};     // free bytes of /dev/shm; none: it is not there
  int usable_cores = 1;                  // ranks that a user may start
  std::optional<size_t> lockable = {};   // bytes that may be locked; none: all
  bool infiniband = false;               // a network whose drivers lock memory
};

MemoryFacts look_at_memory();

std::vector<Finding> judge(const MemoryFacts& facts);

}  // namespace reformer::doctor
