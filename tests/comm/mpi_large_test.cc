// Counts that do not fit into 32 bits. Takes some GiB of memory.
#include <gtest/gtest.h>

#include "comm/mpi.h"

namespace reformer {
namespace {

constexpr int64_t kElements = (int64_t{1} << 31) + 12345;

MpiWorld* world = nullptr;  // of this process, set by main

TEST(MpiLargeTest, CountsBeyond31Bits) {
  Communicator& ranks = world->ranks();
  const Tensor data(DType::kUint8, {kElements});
  const std::vector<int64_t> places = {0, kElements / 2, (int64_t{1} << 31) - 1, int64_t{1} << 31,
                                       kElements - 1};
  if (ranks.rank() == 0) {
    for (const int64_t place : places) data.data<uint8_t>()[place] = 7;
  }
  ranks.broadcast(data.view(), 0, "large");
  for (const int64_t place : places) EXPECT_EQ(data.data<uint8_t>()[place], 7) << place;
  EXPECT_EQ(data.data<uint8_t>()[kElements - 2], 0);

  // All but the first elements come from the last rank.
  std::vector<Slice> slices(static_cast<size_t>(ranks.size()), {0, 0});
  slices.back() = {1, kElements};
  if (ranks.rank() == ranks.size() - 1) {
    for (const int64_t place : places) data.data<uint8_t>()[place] = 9;
  }
  ranks.all_gather(data.view(), slices, "large");
  for (size_t i = 1; i < places.size(); ++i) EXPECT_EQ(data.data<uint8_t>()[places[i]], 9);
}

}  // namespace
}  // namespace reformer

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  reformer::MpiWorld world;
  reformer::world = &world;
  return RUN_ALL_TESTS();
}
