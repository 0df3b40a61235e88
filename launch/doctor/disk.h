// The disk that a run writes to.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "launch/doctor/finding.h"

namespace reformer::doctor {

struct DiskFacts {
  std::string run_directory = {};           // as it was asked for
  std::string folder = {};                  // the part of it that is there
  std::string fault = {};                   // why nothing can be written there; empty: it can
  size_t free = 0;                          // bytes
  bool in_memory = false;                   // the file system is a tmpfs
  std::optional<size_t> largest_file = {};  // bytes, where the process is limited
  double bytes_per_second = 0;              // of a file that is written and synced
};

/// Writes a file of a few megabytes beside where the run would be, and removes it.
DiskFacts look_at_disk(const std::string& run_directory);

std::vector<Finding> judge(const DiskFacts& facts);

}  // namespace reformer::doctor
