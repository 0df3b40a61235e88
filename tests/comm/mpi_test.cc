// The MPI communicator under a real mpirun: every rank runs all tests at the same time.
#include "comm/mpi.h"

#include <cstdlib>
#include <thread>

#include "kernels/core/errors.h"
#include "tests/comm/communicator_cases.h"

namespace reformer {
namespace {

// Pieces so small that every case takes many of them, as counts beyond 2^31 would.
constexpr int64_t kPieceBytes = 1000;

MpiWorld* world = nullptr;  // of this process, set by main

TEST(MpiTest, EveryOperationDoesWhatItSays) {
  testing::all_cases(world->ranks());
}

TEST(MpiTest, OperationsProceedWhileTheRankDoesOtherThings) {
  Communicator& ranks = world->ranks();
  if (ranks.size() == 1) return;
  // Rank 0 waits for nothing before it sleeps, and all others are done before it wakes up.
  ranks.barrier("start");
  Tensor data = testing::values_of<int64_t>(ranks.rank(), 20000);
  Pending sum = ranks.start_reduce_scatter_sum(
      data.view(), equal_slices(20000 / ranks.size(), ranks.size()), "sum");
  const auto start = std::chrono::steady_clock::now();
  constexpr std::chrono::seconds kSleep{2};
  if (ranks.rank() == 0) std::this_thread::sleep_for(kSleep);
  sum.wait();
  if (ranks.rank() != 0) {
    EXPECT_LT(std::chrono::steady_clock::now() - start, kSleep / 2);
  }
}

TEST(MpiTest, TheGroupForLastWordsDoesNotMindTheOther) {
  Communicator& ranks = world->ranks();
  ranks.barrier("start");
  Tensor data(DType::kInt64, {10});
  Pending sum = ranks.start_all_reduce_sum(data.view(), "under way");
  EXPECT_EQ(world->last_words().sum(2, "apart"), 2 * ranks.size());
  sum.wait();
}

TEST(MpiTest, AllRanksAreOnThisMachine) {
  EXPECT_EQ(world->local_ranks(), world->ranks().size());
  EXPECT_FALSE(world->host().empty());
}

// The last test: nothing works after it.
TEST(MpiTest, AWaitHasADeadlineAfterWhichNothingIsUnderWay) {
  Communicator& words = world->last_words();
  if (words.size() == 1) return;
  world->ranks().barrier("end");
  if (words.rank() != 0) return;  // rank 0 is left alone
  try {
    words.sum(1, "alone");
    FAIL() << "no deadline";
  } catch (const CommError& error) {
    EXPECT_NE(std::string(error.what()).find("all-reduce"), std::string::npos) << error.what();
  }
  EXPECT_THROW(world->ranks().sum(1, "later"), CommError);
}

}  // namespace
}  // namespace reformer

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  reformer::MpiWorld world({.timeout = std::chrono::minutes(1)}, reformer::kPieceBytes);
  reformer::world = &world;
  const int status = RUN_ALL_TESTS();
  // Rank 0 has given up an operation, so MPI cannot be finalised together any more.
  const bool gave_up = world.ranks().size() > 1 && world.ranks().rank() == 0;
  if (status != 0 || gave_up) world.abort(status);
  return status;
}
