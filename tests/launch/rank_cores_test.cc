// How many threads a rank gets, and which bindings are undone.
#include "launch/rank_cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include "comm/threads.h"
#include "kernels/core/cores.h"

namespace reformer {
namespace {

void bind_to(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(static_cast<size_t>(core), &set);
  ASSERT_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

TEST(ThreadsOfRankTest, RanksThatMayUseTheSameCoresShareThem) {
  const auto cores = static_cast<int>(usable_cores().size());
  for (const int ranks : {1, 2, 3}) {
    run_as_threads(ranks, [&](Communicator& communicator) {
      EXPECT_EQ(threads_of_rank(communicator, "host"), std::max(1, cores / ranks));
      // Alone on its machine.
      const std::string own = "host " + std::to_string(communicator.rank());
      EXPECT_EQ(threads_of_rank(communicator, own), cores);
    });
  }
}

TEST(ThreadsOfRankTest, ABoundRankHasItsCoresForItself) {
  const std::vector<int> cores = usable_cores();
  if (cores.size() < 2) GTEST_SKIP() << "needs two cores";
  run_as_threads(2, [&](Communicator& communicator) {
    bind_to({cores[static_cast<size_t>(communicator.rank())]});
    EXPECT_EQ(threads_of_rank(communicator, "host"), 1);
  });
}

TEST(UndoDefaultBindingTest, UndoesWhatNobodyAskedFor) {
  const std::vector<int> all = usable_cores();
  bool bound = false;
  std::string asked_with;
  const auto get = [&](const char* name) -> const char* {
    if (std::string(name) == "OMPI_MCA_orte_bound_at_launch") return bound ? "1" : nullptr;
    if (std::string(name) != asked_with) return nullptr;
    return std::string(name).ends_with("mapping_policy") ? "ppr:2:socket:pe=8" : "core";
  };
  const std::vector<int> first = {all.front()};
  bind_to(first);
  undo_default_binding(get);
  EXPECT_EQ(usable_cores(), first) << "not mpirun's work";
  bound = true;
  for (const char* variable : {"OMPI_MCA_hwloc_base_binding_policy", "OMPI_MCA_orte_rankfile",
                               "OMPI_MCA_rmaps_base_mapping_policy"}) {
    asked_with = variable;
    undo_default_binding(get);
    EXPECT_EQ(usable_cores(), first) << variable;
  }
  asked_with.clear();
  undo_default_binding(get);
  EXPECT_GE(usable_cores().size(), all.size());
  bind_to(all);
}

}  // namespace
}  // namespace reformer
