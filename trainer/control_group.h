// What the Linux control group of this process allows it, as containers and batch systems set it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace reformer {

struct ControlGroup {
  std::optional<double> cores = {};        // processor time a second; none: no limit
  std::optional<size_t> memory = {};       // bytes; none: no limit
  std::optional<size_t> memory_left = {};  // of them not taken, or given back on demand
};

/// The tightest limits of the groups that this process is in, of version 1 or 2, whichever are
/// mounted. `root` is where the file system begins; other than "" in tests.
ControlGroup read_control_group(const std::string& root = "");

}  // namespace reformer
