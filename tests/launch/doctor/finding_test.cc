// How findings are shown.
#include "launch/doctor/finding.h"

#include <gtest/gtest.h>

namespace reformer::doctor {
namespace {

TEST(FindingTest, EachIsALineAndItsRemedyAnother) {
  EXPECT_EQ(format({ok("cores", "2 usable"), warning("memory", "little", "buy some"),
                    problem("disk", "full", "empty it")}),
            "ok       cores: 2 usable\n"
            "warning  memory: little\n"
            "         → buy some\n"
            "PROBLEM  disk: full\n"
            "         → empty it\n"
            "1 problem, 1 warning\n");
  EXPECT_EQ(format({}), "0 problems, 0 warnings\n");
}

TEST(FindingTest, OnlyAProblemIsOne) {
  EXPECT_FALSE(has_problem({}));
  EXPECT_FALSE(has_problem({ok("a", "b"), warning("a", "b", "c")}));
  EXPECT_TRUE(has_problem({ok("a", "b"), problem("a", "b", "c"), ok("a", "b")}));
}

}  // namespace
}  // namespace reformer::doctor
