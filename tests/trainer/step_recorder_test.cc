// What is written down of ops and operations.
#include "trainer/replay/step_recorder.h"

#include <gtest/gtest.h>

#include "comm/plan.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/plan_backend.h"

namespace reformer {
namespace {

using enum OperationKind;

TEST(OperationBytesTest, OfSlicesTheBusiestRankCounts) {
  const Tensor data(DType::kInt64, {100});
  const Operation operation{
      .kind = kReduceScatterSum, .data = data.view(), .slices = {{0, 10}, {10, 10}, {20, 50}}};
  // Rank 2 gets its 30 from both others; rank 1 sends all 40 away.
  EXPECT_EQ(bytes_of(operation, 0, 3), (OperationBytes{.whole = 800, .busiest = 8 * 60}));
  Operation even = operation;
  even.kind = kAllGather;
  even.slices = {{0, 10}, {10, 20}, {20, 30}};
  EXPECT_EQ(bytes_of(even, 0, 3), (OperationBytes{.whole = 800, .busiest = 8 * 20}));
}

TEST(OperationBytesTest, OfAnAllToAllTheBusierDirectionCounts) {
  const Tensor sent(DType::kFloat32, {30});
  const Tensor received(DType::kFloat32, {50});
  const Operation operation{.kind = kAllToAll,
                            .data = sent.view(),
                            .slices = {{0, 10}, {10, 30}},
                            .received = received.view(),
                            .received_slices = {{0, 10}, {10, 50}}};
  EXPECT_EQ(bytes_of(operation, 0, 2).busiest, 4 * 40);
  EXPECT_EQ(bytes_of(operation, 1, 2).busiest, 4 * 10);
}

TEST(OperationBytesTest, OfAnAllToAllThoseCountThatExchangeAnything) {
  const Tensor sent(DType::kFloat32, {30});
  const Tensor received(DType::kFloat32, {50});
  const Operation operation{.kind = kAllToAll,
                            .data = sent.view(),
                            .slices = {{0, 0}, {0, 10}, {10, 10}, {10, 30}},
                            .received = received.view(),
                            .received_slices = {{0, 5}, {5, 15}, {15, 15}, {15, 15}}};
  EXPECT_EQ(bytes_of(operation, 1, 4).peers,
            (std::vector<PeerBytes>{{.rank = 0, .received = 20}, {.rank = 3, .sent = 80}}));
}

TEST(OperationBytesTest, OfMessagesTheirLength) {
  const Tensor data(DType::kFloat32, {5});
  EXPECT_EQ(bytes_of({.kind = kSend, .data = data.view(), .peer = 1}, 0, 2).busiest, 20);
  EXPECT_EQ(bytes_of({.kind = kReceive, .data = data.view(), .peer = 1}, 0, 2).busiest, 20);
  EXPECT_EQ(bytes_of({.kind = kBarrier}, 0, 2), OperationBytes{});
}

TEST(StepRecorderTest, OpsAndOperationsStandInTheirOrder) {
  const auto recorder = std::make_shared<StepRecorder>();
  const std::unique_ptr<Backend> plan = make_plan_backend();
  const std::unique_ptr<Backend> observed = recorder->record(*plan);
  EXPECT_FALSE(observed->computes());
  PlanCommunicator ranks(0, 2, {.observer = recorder});
  const Tensor data(DType::kInt64, {8});

  Pending sum = ranks.start_all_reduce_sum(data.view(), "totals of the step");
  observed->fill_zero(data.view());
  sum.wait();

  const StepLog log = recorder->take_log();
  ASSERT_EQ(log.events.size(), 3u);
  const auto& start = std::get<LoggedStart>(log.events[0]);
  EXPECT_EQ(start.kind, kAllReduceSum);
  EXPECT_EQ(start.tag, "totals of the step");
  EXPECT_EQ(start.bytes, (OperationBytes{.whole = 64, .busiest = 64}));
  const auto& op = std::get<LoggedOp>(log.events[1]);
  EXPECT_EQ(op.op, "fill_zero");
  EXPECT_EQ(op.cost.bytes, 64);
  EXPECT_EQ(op.seconds, 0) << "nothing was computed";
  EXPECT_EQ(std::get<LoggedWait>(log.events[2]).id, start.id);
  EXPECT_TRUE(recorder->take_log().events.empty());
}

TEST(StepRecorderTest, OpsThatComputeAreTimed) {
  StepRecorder recorder;
  const std::unique_ptr<Backend> cpu = make_cpu_backend(1);
  const Tensor data(DType::kFloat32, {1 << 20});
  recorder.record(*cpu)->fill_zero(data.view());
  const StepLog log = recorder.take_log();
  EXPECT_GT(std::get<LoggedOp>(log.events.at(0)).seconds, 0);
}

TEST(StepRecorderTest, GroupsHaveTheirPlaceAmongTheRanks) {
  const auto recorder = std::make_shared<StepRecorder>();
  PlanCommunicator world(22, 24, {.observer = recorder});
  const RankGroups ranks = plan_groups(
      world, make_mesh(22, 24, /*sequence_size=*/12, /*head_size=*/4), {.observer = recorder});
  recorder->follow(ranks);
  ranks.world.barrier("all");
  ranks.sequence->barrier("sequence");
  ranks.heads->barrier("heads");
  ranks.buckets->barrier("buckets");

  std::vector<GroupShape> shapes;
  for (const StepEvent& event : recorder->take_log().events) {
    if (const auto* const start = std::get_if<LoggedStart>(&event)) shapes.push_back(start->group);
  }
  EXPECT_EQ(shapes, (std::vector<GroupShape>{{.size = 24, .rank = 22},
                                             {.size = 12, .rank = 10},
                                             {.size = 4, .rank = 2},
                                             {.size = 3, .stride = 4, .rank = 2}}));
}

}  // namespace
}  // namespace reformer
