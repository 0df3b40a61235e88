#include "launch/rank_cores.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>

#include "kernels/core/cores.h"

namespace reformer {

void undo_default_binding(const std::function<const char*(const char*)>& get) {
  const bool bound = get("OMPI_MCA_orte_bound_at_launch") != nullptr;
  const char* const mapping = get("OMPI_MCA_rmaps_base_mapping_policy");
  const bool asked_for = get("OMPI_MCA_hwloc_base_binding_policy") != nullptr ||
                         get("OMPI_MCA_orte_rankfile") != nullptr ||
                         (mapping != nullptr && std::strstr(mapping, "pe=") != nullptr);
  if (!bound || asked_for) return;
  // The system keeps what the control group allows.
  cpu_set_t all;
  std::memset(&all, 0xff, sizeof(all));
  sched_setaffinity(0, sizeof(all), &all);
}

int threads_of_rank(Communicator& communicator, const std::string& host) {
  const std::vector<int> cores = usable_cores();
  const std::string own = fmt::format("{}: {}", host, fmt::join(cores, ","));
  const std::vector<std::string> all = communicator.gather_text(own, "cores");
  const auto sharers = static_cast<size_t>(std::count(all.begin(), all.end(), own));
  return static_cast<int>(std::max<size_t>(1, cores.size() / sharers));
}

}  // namespace reformer
