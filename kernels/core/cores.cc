#include "kernels/core/cores.h"

#include <algorithm>
#include <thread>

#include <sched.h>

namespace reformer {

std::vector<int> usable_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(static_cast<size_t>(core), &set)) cores.push_back(core);
    }
  } else {
    // More cores than fit into the set.
    const auto count = static_cast<int>(std::thread::hardware_concurrency());
    for (int core = 0; core < std::max(1, count); ++core) cores.push_back(core);
  }
  return cores;
}

}  // namespace reformer
