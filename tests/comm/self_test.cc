// One rank: what it has is what everyone has.
#include "comm/self.h"

#include <cmath>
#include <limits>

#include "tests/comm/communicator_cases.h"

namespace reformer {
namespace {

TEST(SelfCommunicatorTest, EveryOperationDoesWhatItSays) {
  SelfCommunicator self;
  EXPECT_EQ(self.rank(), 0);
  EXPECT_EQ(self.size(), 1);
  EXPECT_EQ(self.description(), "one rank");
  testing::all_cases(self);
}

TEST(SelfCommunicatorTest, ASumOverOneRankIsItsOwnNumbersToTheBit) {
  SelfCommunicator self;
  int64_t integers[] = {std::numeric_limits<int64_t>::min(), -1,
                        std::numeric_limits<int64_t>::max()};
  self.all_reduce_sum(View(integers, DType::kInt64, {3}), "sum");
  EXPECT_EQ(integers[0], std::numeric_limits<int64_t>::min());
  EXPECT_EQ(integers[2], std::numeric_limits<int64_t>::max());

  float zero = -0.0f;
  self.all_reduce_sum(View(&zero, DType::kFloat32, {1}), "sum");
  EXPECT_TRUE(std::signbit(zero));
}

}  // namespace
}  // namespace reformer
