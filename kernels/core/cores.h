// The processor cores that this process may run on.
#pragma once

#include <vector>

namespace reformer {

/// Their numbers, ascending (the CPU affinity of the calling thread); at least one.
std::vector<int> usable_cores();

}  // namespace reformer
