// What the stand-in says to wrong calls, and what its injected faults look like from outside.
#include "tests/ptx/nccl/faults.h"

#include <cstdlib>
#include <string>

#include "tests/ptx/nccl/calls.h"
#include "tests/ptx/nccl/ranks_for_tests.h"

namespace reformer::ptx::nccl {
namespace {

int64_t buffer[64];

/// Rank 0 and rank 1 make these calls; whoever notices reports an error that holds both texts.
void expect_mismatch(const std::function<void(ncclComm_t world, int rank)>& call,
                     const std::string& of_rank_0, const std::string& of_rank_1) {
  run_ranks(2, [&](int rank, const ncclUniqueId& id) {
    ncclComm_t const world = meet(2, id, rank);
    call(world, rank);
    ASSERT_EQ(settle(world), ncclSuccess);
    EXPECT_EQ(wait_for_error(world), ncclInvalidUsage);
    const std::string text = ncclGetLastError(world);
    EXPECT_NE(text.find("rank 0 called " + of_rank_0), std::string::npos) << text;
    EXPECT_NE(text.find("rank 1 called " + of_rank_1), std::string::npos) << text;
    EXPECT_FALSE(streams_are_empty()) << "the operation hangs until somebody aborts";
    EXPECT_EQ(ncclCommAbort(world), ncclSuccess);
    EXPECT_TRUE(run_streams());
  });
}

TEST(NcclStandInFaultsTest, AnotherKind) {
  expect_mismatch(
      [](ncclComm_t world, int rank) {
        if (rank == 0) {
          ncclAllReduce(buffer, buffer, 8, ncclInt64, ncclSum, world, kStream);
        } else {
          ncclBroadcast(buffer, buffer, 8, ncclInt64, 0, world, kStream);
        }
      },
      "all-reduce of 8 int64", "broadcast of 8 int64 with root 0");
}

TEST(NcclStandInFaultsTest, AnotherCount) {
  expect_mismatch(
      [](ncclComm_t world, int rank) {
        ncclAllReduce(buffer, buffer, rank == 0 ? 8 : 9, ncclInt64, ncclSum, world, kStream);
      },
      "all-reduce of 8 int64", "all-reduce of 9 int64");
}

TEST(NcclStandInFaultsTest, AnotherType) {
  expect_mismatch(
      [](ncclComm_t world, int rank) {
        ncclAllGather(buffer, buffer, 2, rank == 0 ? ncclInt64 : ncclFloat64, world, kStream);
      },
      "all-gather of 2 int64", "all-gather of 2 float64");
}

TEST(NcclStandInFaultsTest, AnotherRoot) {
  expect_mismatch(
      [](ncclComm_t world, int rank) {
        ncclReduce(buffer, buffer, 8, ncclInt64, ncclSum, rank, world, kStream);
      },
      "reduce of 8 int64 with root 0", "reduce of 8 int64 with root 1");
}

TEST(NcclStandInFaultsTest, AnotherOrder) {
  expect_mismatch(
      [](ncclComm_t world, int rank) {
        for (int i = 0; i < 2; ++i) {
          if (i == rank) {
            ncclReduceScatter(buffer, buffer, 4, ncclInt64, ncclSum, world, kStream);
          } else {
            ncclAllReduce(buffer, buffer, 4, ncclInt64, ncclSum, world, kStream);
          }
          settle(world);
        }
      },
      "reduce-scatter of 4 int64", "all-reduce of 4 int64");
}

TEST(NcclStandInFaultsTest, ACallBeforeTheLastOneHasSucceededIsRefused) {
  run_ranks(1, [](int rank, const ncclUniqueId& id) {
    ncclComm_t const world = meet(1, id, rank);
    const auto reduce = [&] {
      return ncclAllReduce(buffer, buffer, 1, ncclInt64, ncclSum, world, kStream);
    };
    EXPECT_EQ(reduce(), ncclInProgress);
    EXPECT_TRUE(streams_are_empty()) << "nothing is on the stream before that";
    EXPECT_EQ(reduce(), ncclInvalidArgument);
    EXPECT_EQ(settle(world), ncclSuccess);
    EXPECT_FALSE(streams_are_empty());
    EXPECT_EQ(reduce(), ncclInProgress);
  });
}

TEST(NcclStandInFaultsTest, WrongArgumentsAreRefused) {
  run_ranks(1, [](int rank, const ncclUniqueId& id) {
    ncclComm_t const world = meet(1, id, rank);
    EXPECT_EQ(ncclAllReduce(buffer, buffer, 1, ncclInt64, ncclMax, world, kStream),
              ncclInvalidArgument);
    EXPECT_EQ(ncclBroadcast(buffer, buffer, 1, ncclInt64, 1, world, kStream), ncclInvalidArgument);
    EXPECT_EQ(ncclAllReduce(buffer, buffer, 1, ncclNumTypes, ncclSum, world, kStream),
              ncclInvalidArgument);
    EXPECT_EQ(ncclAllReduce(buffer, buffer, 1, ncclInt64, ncclSum, nullptr, kStream),
              ncclInvalidArgument);
    EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
    ncclGroupStart();
    ncclAllReduce(buffer, buffer, 1, ncclInt64, ncclSum, world, kStream);
    EXPECT_EQ(ncclAllReduce(buffer, buffer, 1, ncclInt64, ncclSum, world, kOtherStream),
              ncclInvalidArgument);
    EXPECT_EQ(ncclGroupEnd(), ncclInvalidArgument);
  });
}

TEST(NcclStandInFaultsTest, TwoRanksOnOneDevice) {
  run_ranks(2, [](int rank, const ncclUniqueId& id) {
    use_device(0);
    ncclComm_t world = nullptr;
    EXPECT_EQ(ncclCommInitRank(&world, 2, id, rank), ncclInvalidUsage);
  });
}

/// Rank 1 has the fault.
void inject(const char* fault) {
  setenv("NCCL_STANDIN_FAULT", fault, 1);
  setenv("NCCL_STANDIN_FAULT_RANK", "1", 1);
}

ncclResult_t reduce_once(ncclComm_t world) {
  ncclAllReduce(buffer, buffer, 1, ncclInt64, ncclSum, world, kStream);
  return settle(world);
}

TEST(NcclStandInFaultsTest, ACommunicatorThatNeverGetsReady) {
  run_ranks(2, [](int rank, const ncclUniqueId& id) {
    inject("init-hangs");
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclComm_t world = nullptr;
    ASSERT_EQ(ncclCommInitRankConfig(&world, 2, id, rank, &config), ncclInProgress);
    EXPECT_EQ(wait_for_error(world, 0.2), ncclInProgress);
    EXPECT_EQ(ncclCommAbort(world), ncclSuccess);
  });
}

TEST(NcclStandInFaultsTest, AGroupThatNeverGetsReady) {
  run_ranks(2, [](int rank, const ncclUniqueId& id) {
    inject("split-hangs");
    ncclComm_t const world = meet(2, id, rank);
    ncclComm_t group = nullptr;
    ASSERT_EQ(ncclCommSplit(world, 0, rank, &group, nullptr), ncclInProgress);
    EXPECT_EQ(wait_for_error(world, 0.2), ncclInProgress);
    EXPECT_EQ(group, nullptr);
  });
}

TEST(NcclStandInFaultsTest, AnOperationThatFailsOrHangs) {
  for (const char* const fault : {"async-error@2", "stuck@2"}) {
    SCOPED_TRACE(fault);
    run_ranks(2, [&](int rank, const ncclUniqueId& id) {
      inject(fault);
      ncclComm_t const world = meet(2, id, rank);
      ASSERT_EQ(reduce_once(world), ncclSuccess);
      ASSERT_TRUE(run_streams());
      ASSERT_EQ(reduce_once(world), ncclSuccess);
      const bool reports = rank == 1 && fault[0] == 'a';
      EXPECT_EQ(wait_for_error(world, 0.3), reports ? ncclRemoteError : ncclSuccess);
      EXPECT_FALSE(streams_are_empty());
      EXPECT_EQ(ncclCommAbort(world), ncclSuccess);
      EXPECT_TRUE(run_streams());
    });
  }
}

TEST(NcclStandInFaultsTest, AnOperationThatIsLateOrLies) {
  run_ranks(2, [](int rank, const ncclUniqueId& id) {
    inject("late@1:300,miscount@2");
    ncclComm_t const world = meet(2, id, rank);
    ASSERT_EQ(reduce_once(world), ncclSuccess);
    EXPECT_FALSE(run_streams(0.15));
    ASSERT_TRUE(run_streams());
    ASSERT_EQ(reduce_once(world), ncclSuccess);
    EXPECT_EQ(wait_for_error(world, 1), rank == 0 ? ncclInvalidUsage : ncclSuccess);
  });
}

TEST(NcclStandInFaultsTest, AListIsReadOrRefused) {
  const Faults faults("abort-hangs,stuck@3,late@4:250");
  EXPECT_TRUE(faults.has("abort-hangs"));
  EXPECT_FALSE(faults.has("init-hangs"));
  EXPECT_TRUE(faults.has("stuck", 3));
  EXPECT_FALSE(faults.has("stuck", 4));
  EXPECT_EQ(faults.delay(4), std::chrono::milliseconds(250));
  EXPECT_EQ(faults.delay(3), std::chrono::milliseconds(0));
  EXPECT_DEATH(Faults("stuck"), "stuck is no fault");
}

}  // namespace
}  // namespace reformer::ptx::nccl
