// Ranks as threads: the contract of every operation, and what happens when a rank fails.
#include "comm/threads.h"

#include <latch>
#include <thread>

#include "kernels/core/errors.h"
#include "tests/comm/communicator_cases.h"

namespace reformer {
namespace {

using std::chrono::milliseconds;

class ThreadsTest : public ::testing::TestWithParam<int> {};

TEST_P(ThreadsTest, EveryOperationDoesWhatItSays) {
  run_as_threads(GetParam(), testing::all_cases);
}

INSTANTIATE_TEST_SUITE_P(Ranks, ThreadsTest, ::testing::Values(1, 2, 3, 4, 8));

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const CommError& error) {
    return error.what();
  }
  return "";
}

void sum_up(Communicator& communicator) {
  communicator.sum(1, "all");
}

TEST(ThreadsTest, ARankThatFailsFailsTheOthers) {
  std::vector<std::string> seen(3);
  const auto body = [&](Communicator& communicator) {
    if (communicator.rank() == 1) throw DataError("no such file");
    const auto rank = static_cast<size_t>(communicator.rank());
    seen[rank] = message_of([&] { sum_up(communicator); });
    throw CommError(seen[rank]);
  };
  EXPECT_THROW(run_as_threads(3, body), DataError);
  for (const size_t rank : {size_t{0}, size_t{2}}) {
    EXPECT_NE(seen[rank].find("rank 1 failed: no such file"), std::string::npos) << seen[rank];
  }
}

TEST(ThreadsTest, AWaitHasADeadlineThatNamesTheOperation) {
  const std::string message = message_of([] {
    run_as_threads(
        2,
        [](Communicator& communicator) {
          if (communicator.rank() == 0) sum_up(communicator);
        },
        milliseconds(50));
  });
  EXPECT_NE(message.find("all-reduce #1 of 1 int64 (all)"), std::string::npos) << message;
  EXPECT_NE(message.find("0.05 s"), std::string::npos) << message;
}

TEST(ThreadsTest, RanksAtDifferentOperationsAreTold) {
  const auto different_kinds = [](Communicator& communicator) {
    if (communicator.rank() == 0) return sum_up(communicator);
    communicator.barrier("end");
  };
  const std::string message = message_of([&] { run_as_threads(2, different_kinds); });
  EXPECT_NE(message.find("rank 0 is at all-reduce #1"), std::string::npos) << message;
  EXPECT_NE(message.find("rank 1 at barrier #1"), std::string::npos) << message;

  const auto different_counts = [](Communicator& communicator) {
    const Tensor data(DType::kInt64, {communicator.rank() + 1});
    communicator.all_reduce_sum(data.view(), "all");
  };
  EXPECT_THROW(run_as_threads(2, different_counts), CommError);

  const auto different_roots = [](Communicator& communicator) {
    const Tensor data(DType::kInt64, {4});
    communicator.broadcast(data.view(), communicator.rank(), "told");
  };
  EXPECT_THROW(run_as_threads(2, different_roots), CommError);

  const auto different_slices = [](Communicator& communicator) {
    const Tensor data(DType::kInt64, {4});
    const int64_t cut = 1 + communicator.rank();
    communicator.all_gather(data.view(), {{0, cut}, {cut, 4}}, "parts");
  };
  EXPECT_THROW(run_as_threads(2, different_slices), CommError);

  const auto different_room = [](Communicator& communicator) {
    const Tensor sent(DType::kInt64, {2});
    const Tensor received(DType::kInt64, {4});
    communicator.all_to_all(sent.view(), equal_slices(1, 2), received.view(), equal_slices(2, 2),
                            "parts");
  };
  EXPECT_THROW(run_as_threads(2, different_room), CommError);

  const auto different_messages = [](Communicator& communicator) {
    const Tensor data(communicator.rank() == 0 ? DType::kFloat32 : DType::kInt32, {4});
    if (communicator.rank() == 0) communicator.send(data.view(), 1, "given");
    if (communicator.rank() == 1) communicator.receive(data.view(), 0, "taken");
  };
  EXPECT_THROW(run_as_threads(2, different_messages), CommError);
}

TEST(ThreadsTest, AnOperationGivenUpIsNeverCarriedOut) {
  std::latch given_up(1);
  const auto body = [&](Communicator& communicator) {
    if (communicator.rank() == 0) {
      const Tensor data(DType::kInt64, {1000});
      (void)communicator.start_all_reduce_sum(data.view(), "abandoned");
      given_up.count_down();
    }
    given_up.wait();
    sum_up(communicator);
  };
  const std::string message = message_of([&] { run_as_threads(2, body); });
  EXPECT_NE(message.find("rank 0 has given up"), std::string::npos) << message;
}

TEST(ThreadsTest, OnlyTheRankThatWaitsCountsTheSeconds) {
  run_as_threads(2, [](Communicator& communicator) {
    communicator.barrier("begin together");
    const double before = communicator.seconds_waited();
    if (communicator.rank() == 1) std::this_thread::sleep_for(milliseconds(300));
    sum_up(communicator);
    const double waited = communicator.seconds_waited() - before;
    if (communicator.rank() == 0) {
      EXPECT_GT(waited, 0.15);
    } else {
      EXPECT_LT(waited, 0.15);
    }
  });
}

}  // namespace
}  // namespace reformer
