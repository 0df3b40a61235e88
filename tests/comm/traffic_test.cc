// Bytes sent: by each operation, as comm/README.md has them, and by all groups of a rank.
#include "comm/traffic.h"

#include <numeric>

#include <gtest/gtest.h>

#include "comm/rank_groups.h"
#include "comm/threads.h"

namespace reformer {
namespace {

/// Of an operation on Int64, by rank.
std::vector<int64_t> elements_sent(const Operation& operation, int size) {
  std::vector<int64_t> sent;
  for (int rank = 0; rank < size; ++rank) sent.push_back(bytes_sent(operation, rank, size) / 8);
  return sent;
}

using Elements = std::vector<int64_t>;

class BytesSentTest : public ::testing::Test {
 protected:
  Operation operation(OperationKind kind, std::vector<Slice> slices = {}, int peer = -1) const {
    return {.kind = kind, .data = data_.view(), .slices = std::move(slices), .peer = peer};
  }

  Tensor data_{DType::kInt64, {60}};
  const std::vector<Slice> slices_ = {{0, 10}, {10, 10}, {20, 50}};  // 40 of the 60
};

TEST_F(BytesSentTest, SumsAndGathersSendTheSlicesOfOthersOrTheOwnOne) {
  using enum OperationKind;
  EXPECT_EQ(elements_sent(operation(kReduceScatterSum, slices_), 3), Elements({30, 40, 10}));
  EXPECT_EQ(elements_sent(operation(kAllGather, slices_), 3), Elements({20, 0, 60}));
  EXPECT_EQ(elements_sent(operation(kAllToAll, slices_), 3), Elements({30, 40, 10}));
  EXPECT_EQ(elements_sent(operation(kAllReduceSum), 3), Elements({80, 80, 80}));
  EXPECT_EQ(elements_sent(operation(kAllReduceSum), 1), Elements({0}));
}

TEST_F(BytesSentTest, FloatingPointIsSummedInRankOrder) {
  const Tensor data(DType::kFloat32, {60});
  EXPECT_EQ(bytes_sent({.kind = OperationKind::kAllReduceSum, .data = data.view()}, 1, 3),
            60 * 4 * 2);
}

TEST_F(BytesSentTest, MessagesAreCountedWhereTheyAreSent) {
  using enum OperationKind;
  EXPECT_EQ(elements_sent(operation(kSend, {}, 1), 2), Elements({60, 60}));
  EXPECT_EQ(elements_sent(operation(kReceive, {}, 1), 2), Elements({0, 0}));
  EXPECT_EQ(bytes_sent({.kind = kBarrier}, 0, 2), 0);
}

TEST_F(BytesSentTest, ABroadcastReachesEveryOtherRankOnce) {
  EXPECT_EQ(elements_sent(operation(OperationKind::kBroadcast, {}, 1), 5),
            Elements({0, 180, 0, 60, 0}));
  for (int size = 1; size <= 17; ++size) {
    const Elements sent = elements_sent(operation(OperationKind::kBroadcast, {}, size / 2), size);
    EXPECT_EQ(std::accumulate(sent.begin(), sent.end(), int64_t{0}), 60 * (size - 1)) << size;
  }
}

TEST_F(BytesSentTest, AScanDoublesItsReach) {
  EXPECT_EQ(elements_sent(operation(OperationKind::kExclusiveScanSum), 5),
            Elements({180, 120, 120, 60, 0}));
}

TEST(PurposeOfTest, LeavesThePlaceOut) {
  EXPECT_EQ(purpose_of("gradients of layer 3"), "gradients");
  EXPECT_EQ(purpose_of("attention of layer 3: heads in"), "attention heads in");
  EXPECT_EQ(purpose_of("attention of layer 3: halo"), "attention halo");
  EXPECT_EQ(purpose_of("valid labels"), "valid labels");
}

TEST(TrafficTest, AddsUpAllGroupsOfARank) {
  run_as_threads(4, [](Communicator& world) {
    const auto traffic = std::make_shared<Traffic>();
    world.set_observer(traffic);
    const RankGroups groups = split_by_mesh(world, make_mesh(world.rank(), 4, 2, 1));
    const Tensor data(DType::kInt64, {12});
    world.all_reduce_sum(data.view(), "gradients of layer 0");
    groups.sequence->all_gather(data.view(), {{0, 4}, {4, 12}}, "attention of layer 0: halo");
    groups.sequence->all_gather(data.view(), {{0, 4}, {4, 12}}, "attention of layer 1: halo");
    groups.heads->all_gather(data.view(), {{0, 12}}, "attention of layer 0: heads in");

    const int64_t halo = groups.mesh.sequence_rank == 0 ? 4 * 8 : 8 * 8;
    const Traffic::ByPurpose expected = {{"gradients", {.operations = 1, .bytes = 18 * 8}},
                                         {"attention halo", {.operations = 2, .bytes = 2 * halo}},
                                         {"attention heads in", {.operations = 1, .bytes = 0}}};
    EXPECT_EQ(traffic->by_purpose(), expected);
    EXPECT_EQ(traffic->total(), (Traffic::Sum{4, 18 * 8 + 2 * halo}));
    world.set_observer(nullptr);
  });
}

}  // namespace
}  // namespace reformer
