// Operations between ranks against their formulas, worked out by hand.
#include "trainer/replay/network_time.h"

#include <gtest/gtest.h>

namespace reformer {
namespace {

using enum OperationKind;
using replay::Machine;

/// Four ranks a node. Latency 1 s and 100 bytes/s within it, 10 s and 20 bytes/s beyond.
Machine machine_with(Machine::Collectives collectives) {
  Machine machine;
  machine.set_ranks_per_node(4);
  machine.set_collectives(collectives);
  machine.mutable_within_node()->set_latency_seconds(1);
  machine.mutable_within_node()->set_bytes_per_second(100);
  machine.mutable_between_nodes()->set_latency_seconds(10);
  machine.mutable_between_nodes()->set_bytes_per_second(20);
  return machine;
}

/// What rank 0 of `size` ranks exchanges in an all-to-all of equal parts.
OperationBytes exchange_with_all(int size, int64_t bytes) {
  OperationBytes exchange{.whole = size * bytes, .busiest = (size - 1) * bytes};
  for (int rank = 1; rank < size; ++rank) exchange.peers.push_back({rank, bytes, bytes});
  return exchange;
}

class RingsTest : public ::testing::Test {
 protected:
  double seconds(OperationKind kind, GroupShape group, OperationBytes bytes) const {
    return seconds_of_collective(machine_, kind, group, bytes);
  }
  Machine machine_ = machine_with(Machine::RINGS);
};

TEST_F(RingsTest, AReduceScatterWithinANodeIsOneRound) {
  EXPECT_EQ(seconds(kReduceScatterSum, {.size = 4}, {.whole = 400, .busiest = 300}), 3 + 3.0);
  EXPECT_EQ(seconds(kAllGather, {.size = 4}, {.whole = 400, .busiest = 300}), 3 + 3.0);
}

TEST_F(RingsTest, TheRingsOfANodeShareItsPorts) {
  // 8 ranks on 2 nodes: 6 steps within them and 1 between them; 4 rings of 20 bytes/s.
  EXPECT_EQ(seconds(kAllGather, {.size = 8}, {.whole = 800, .busiest = 700}), 6 + 10 + 700 / 80.0);
}

TEST_F(RingsTest, RanksThatAreANodeApartHaveOnePortEach) {
  // 2 ranks, each on a node of its own, and what passes through the node is 0.
  EXPECT_EQ(seconds(kAllGather, {.size = 2, .stride = 4}, {.whole = 400, .busiest = 200}),
            10 + 200 / 20.0);
  // Every other rank: two on each of two nodes.
  EXPECT_EQ(seconds(kAllGather, {.size = 4, .stride = 2}, {.whole = 400, .busiest = 400}),
            2 + 10 + 400 / 40.0);
}

TEST_F(RingsTest, ANodeThatIsNotFullCountsAsFull) {
  EXPECT_EQ(seconds(kAllGather, {.size = 6}, {.whole = 600, .busiest = 500}), 4 + 10 + 500 / 80.0);
}

TEST_F(RingsTest, UnevenSlicesAreBroadcastOneByOne) {
  EXPECT_EQ(seconds(kAllGather, {.size = 4}, {.whole = 400, .busiest = 1200}), 3 + 4.0);
}

TEST_F(RingsTest, ALargeAllReduceIsTwoRoundsAndASmallOneATree) {
  EXPECT_EQ(seconds(kAllReduceSum, {.size = 4}, {.whole = 4000, .busiest = 6000}), 2 * (3 + 30.0));
  // 16 ranks on 4 nodes: the rings would take 2 · (12 + 30) steps.
  EXPECT_EQ(seconds(kAllReduceSum, {.size = 16}, {.whole = 8, .busiest = 15}),
            2 * (3 + 20) + 2 * (8 / 80.0));
}

TEST_F(RingsTest, ABroadcastIsPassedOnWhileItArrives) {
  EXPECT_EQ(seconds(kBroadcast, {.size = 4}, {.whole = 200, .busiest = 400}), 3 + 2.0);
}

TEST_F(RingsTest, AnAllToAllSendsEveryOtherRankItsPart) {
  EXPECT_EQ(seconds(kAllToAll, {.size = 4}, exchange_with_all(4, 100)), 3 + 3.0);
  // 3 of 7 parts stay on the node; the port has the 4 others.
  EXPECT_EQ(seconds(kAllToAll, {.size = 8}, exchange_with_all(8, 100)), 3 + 40 + 400 / 20.0);
  // Ranks a node apart have ports between them alone.
  EXPECT_EQ(seconds(kAllToAll, {.size = 4, .stride = 4}, exchange_with_all(4, 100)),
            30 + 300 / 20.0);
}

TEST_F(RingsTest, AnAllToAllTakesWhatItsMessagesTake) {
  const auto exchange = [&](GroupShape group, std::vector<PeerBytes> peers) {
    return seconds(kAllToAll, group, {.peers = std::move(peers)});
  };
  // Rank 2 has both neighbours on its node; rank 4 has rank 3 on another.
  EXPECT_EQ(exchange({.size = 16, .rank = 2}, {{1, 100, 100}, {3, 100, 100}}), 2 + 200 / 100.0);
  EXPECT_EQ(exchange({.size = 16, .rank = 4}, {{3, 100, 100}, {5, 100, 100}}), 1 + 10 + 100 / 20.0);
  EXPECT_EQ(exchange({.size = 16, .stride = 2, .rank = 2}, {{1, 100, 0}, {3, 100, 0}}),
            1 + 10 + 100 / 20.0);
  EXPECT_EQ(exchange({.size = 4, .rank = 0}, {{1, 0, 300}, {2, 100, 0}, {3, 100, 0}}), 2 + 3.0)
      << "two messages out, 300 bytes in";
  EXPECT_EQ(exchange({.size = 4}, {}), 0) << "others have something to exchange";
}

TEST_F(RingsTest, ABarrierClimbsATree) {
  EXPECT_EQ(seconds(kBarrier, {.size = 4}, {}), 2.0);
  EXPECT_EQ(seconds(kBarrier, {.size = 12}, {}), 2 + 2 * 10.0);
}

TEST_F(RingsTest, AGroupOfOneTakesNoTimeAndAnyOtherBegins) {
  machine_.set_operation_seconds(0.5);
  EXPECT_EQ(seconds(kAllReduceSum, {.size = 1}, {.whole = 1000, .busiest = 0}), 0);
  EXPECT_EQ(seconds(kBarrier, {.size = 2}, {}), 0.5 + 1);
}

TEST(PairsTest, SlicesGoStraightToTheirOwners) {
  const Machine machine = machine_with(Machine::PAIRS);
  for (const OperationKind kind : {kReduceScatterSum, kAllGather, kAllToAll}) {
    EXPECT_EQ(seconds_of_collective(machine, kind, {.size = 8}, exchange_with_all(8, 100)),
              3 + 40 + 400 / 20.0);
  }
}

TEST(PairsTest, AnAllReduceGoesUpATreeAndDown) {
  EXPECT_EQ(seconds_of_collective(machine_with(Machine::PAIRS), kAllReduceSum, {.size = 4},
                                  {.whole = 400, .busiest = 600}),
            2 * 2 + 600 / 100.0);
}

TEST(MessagesTest, TheSlowestNeighboursDecide) {
  const Machine machine = machine_with(Machine::RINGS);
  EXPECT_EQ(seconds_of_messages(machine, {.size = 4}, 2, 300), 2 + 3.0);
  EXPECT_EQ(seconds_of_messages(machine, {.size = 8}, 2, 300), 20 + 15.0);
}

/// All kinds on groups within, across and apart on nodes.
std::vector<double> times_of_all(const Machine& machine) {
  std::vector<double> seconds;
  for (const OperationKind kind : {kReduceScatterSum, kAllGather, kAllReduceSum, kBroadcast,
                                   kAllToAll, kExclusiveScanSum, kBarrier}) {
    for (const GroupShape group :
         {GroupShape{2, 1}, GroupShape{4, 1}, GroupShape{32, 1}, GroupShape{8, 4}}) {
      seconds.push_back(
          seconds_of_collective(machine, kind, group, exchange_with_all(group.size, 400)));
    }
  }
  return seconds;
}

TEST(NetworkTest, NothingGetsSlowerOnAFasterOne) {
  for (const auto collectives : {Machine::RINGS, Machine::PAIRS}) {
    const Machine machine = machine_with(collectives);
    const std::vector<double> seconds = times_of_all(machine);
    std::vector<Machine> faster(4, machine);
    faster[0].mutable_within_node()->set_bytes_per_second(200);
    faster[1].mutable_between_nodes()->set_bytes_per_second(30);
    faster[2].mutable_within_node()->set_latency_seconds(0.5);
    faster[3].mutable_between_nodes()->set_latency_seconds(7);
    for (const Machine& other : faster) {
      const std::vector<double> fast = times_of_all(other);
      bool any_faster = false;
      for (size_t i = 0; i < seconds.size(); ++i) {
        EXPECT_LE(fast[i], seconds[i]) << i;
        any_faster |= fast[i] < seconds[i];
      }
      EXPECT_TRUE(any_faster);
    }
  }
}

}  // namespace
}  // namespace reformer
