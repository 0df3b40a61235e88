// The cores of the process follow its affinity.
#include "kernels/core/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

namespace reformer {
namespace {

TEST(UsableCores, FollowTheAffinityOfTheProcess) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  const std::vector<int> all = usable_cores();
  EXPECT_EQ(static_cast<int>(all.size()), CPU_COUNT(&before));
  for (const int core : all) EXPECT_TRUE(CPU_ISSET(static_cast<size_t>(core), &before));

  cpu_set_t last;
  CPU_ZERO(&last);
  CPU_SET(static_cast<size_t>(all.back()), &last);
  ASSERT_EQ(sched_setaffinity(0, sizeof(last), &last), 0);
  EXPECT_EQ(usable_cores(), std::vector<int>{all.back()});
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

}  // namespace
}  // namespace reformer
