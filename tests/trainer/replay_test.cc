// Logs written by hand, whose time can be worked out by hand.
#include "trainer/replay/replay.h"

#include <gtest/gtest.h>

namespace reformer {
namespace {

using enum OperationKind;
using replay::Machine;

/// An op takes one second for each byte; messages take 1 s and 0.1 s for each byte on a node of two
/// ranks, and 4 s and 0.5 s for each byte beyond.
Machine seconds_machine() {
  Machine machine;
  machine.mutable_rate()->set_bytes_per_second(1);
  machine.set_ranks_per_node(2);
  machine.set_collectives(Machine::PAIRS);
  machine.mutable_within_node()->set_latency_seconds(1);
  machine.mutable_within_node()->set_bytes_per_second(10);
  machine.mutable_between_nodes()->set_latency_seconds(4);
  machine.mutable_between_nodes()->set_bytes_per_second(2);
  return machine;
}

LoggedOp op(double seconds) {
  return {.op = "op", .cost = {.bytes = seconds}};
}

/// Of two neighbours; 1 + bytes / 10 seconds.
LoggedStart gather(uint64_t id, int64_t bytes, const std::string& tag = "gradients of layer 1") {
  return {.id = id,
          .kind = kAllGather,
          .tag = tag,
          .group = {.size = 2},
          .bytes = {.whole = 2 * bytes, .busiest = bytes}};
}

LoggedStart message(uint64_t id, OperationKind kind, int64_t bytes,
                    GroupShape group = {.size = 2}) {
  return {.id = id,
          .kind = kind,
          .tag = "attention of layer 1: halo",
          .group = group,
          .bytes = {.whole = bytes, .busiest = bytes}};
}

StepTime replay_of(std::vector<StepEvent> events) {
  return replay_step({.events = std::move(events)}, seconds_machine());
}

TEST(ReplayTest, OpsRunOneAfterTheOther) {
  const StepTime time = replay_of({op(2), op(3)});
  EXPECT_EQ(time.seconds, 5);
  EXPECT_EQ(time.compute, 5);
  EXPECT_EQ(time.communication, 0);
  EXPECT_TRUE(time.by_purpose.empty());
}

TEST(ReplayTest, AnOperationHidesBehindTheOpsBeforeItsWait) {
  const StepTime time = replay_of({gather(1, 30), op(5), LoggedWait{1}, op(1)});
  EXPECT_EQ(time.seconds, 6);
  EXPECT_EQ(time.communication, 4);
  EXPECT_EQ(time.exposed, 0);
}

TEST(ReplayTest, WhatIsNotHiddenHoldsTheOps) {
  const StepTime time = replay_of({op(1), gather(1, 30), op(3), LoggedWait{1}, op(1)});
  EXPECT_EQ(time.seconds, 1 + 4 + 1);
  EXPECT_EQ(time.exposed, 1);
  EXPECT_EQ(time.by_purpose.at("gradients"),
            (PurposeTime{.operations = 1, .bytes = 30, .seconds = 4, .exposed = 1}));
}

TEST(ReplayTest, OperationsQueueUpInTheOrderOfTheirStarts) {
  // The first ends after 1 + 4 s, the second begins then, although it could begin after 2 s.
  const StepTime time = replay_of(
      {op(1), gather(1, 30), op(1), gather(2, 10, "totals"), LoggedWait{2}, op(1), LoggedWait{1}});
  EXPECT_EQ(time.by_purpose.at("totals").exposed, 5 + 2 - 2);
  EXPECT_EQ(time.by_purpose.at("gradients").exposed, 0) << "it had ended before";
  EXPECT_EQ(time.seconds, 7 + 1);
}

TEST(ReplayTest, TheNetworkRestsUntilAnOperationMayBegin) {
  const StepTime time =
      replay_of({gather(1, 10), op(10), gather(2, 10), LoggedWait{1}, LoggedWait{2}});
  EXPECT_EQ(time.seconds, 12);
  EXPECT_EQ(time.communication, 4);
  EXPECT_EQ(time.exposed, 2);
}

TEST(ReplayTest, MessagesToBothSidesAreUnderWayTogether) {
  const StepTime time = replay_of({message(1, kSend, 20), message(2, kReceive, 20),
                                   message(3, kSend, 10), message(4, kReceive, 30), LoggedWait{1},
                                   LoggedWait{2}, LoggedWait{3}, LoggedWait{4}});
  EXPECT_EQ(time.seconds, 2 * 1 + 50 / 10.0) << "two messages in, of 50 bytes, are the most";
  EXPECT_EQ(time.by_purpose.at("attention halo").operations, 4);
}

TEST(ReplayTest, MessagesBeginWhenTheLastOfThemIsStarted) {
  const StepTime time = replay_of({message(1, kSend, 10), op(1), message(2, kReceive, 10), op(1),
                                   LoggedWait{2}, LoggedWait{1}});
  EXPECT_EQ(time.seconds, 1 + 2);
}

TEST(ReplayTest, AWaitOrACollectiveEndsAGroupOfMessages) {
  const StepTime waited =
      replay_of({message(1, kSend, 10), LoggedWait{1}, message(2, kReceive, 10), LoggedWait{2}});
  EXPECT_EQ(waited.seconds, 2 + 2);
  const StepTime collective =
      replay_of({message(1, kSend, 10), gather(2, 10), message(3, kReceive, 10), LoggedWait{1},
                 LoggedWait{2}, LoggedWait{3}});
  EXPECT_EQ(collective.seconds, 2 + 2 + 2);
}

TEST(ReplayTest, OtherNodesAreFurtherAway) {
  const auto exchange = [](GroupShape group) {
    return replay_of({message(1, kSend, 10, group), LoggedWait{1}}).seconds;
  };
  EXPECT_EQ(exchange({.size = 2, .stride = 1}), 1 + 1);
  EXPECT_EQ(exchange({.size = 2, .stride = 2}), 4 + 5);
  EXPECT_EQ(exchange({.size = 4, .stride = 1}), 4 + 5);
}

TEST(ReplayTest, AStepHasAFixedShare) {
  Machine machine = seconds_machine();
  machine.set_step_seconds(10);
  const StepTime time = replay_step({.events = {op(2)}}, machine);
  EXPECT_EQ(time.seconds, 12);
  EXPECT_EQ(time.compute, 2);
}

TEST(ReplayDeathTest, AnOperationThatNobodyWaitsForIsNoStep) {
  EXPECT_DEATH(replay_of({gather(1, 10)}), "");
  EXPECT_DEATH(replay_of({message(1, kSend, 10)}), "");
  EXPECT_DEATH(replay_of({LoggedWait{1}}), "");
}

TEST(ReplayTest, TheSameLogTakesTheSameTime) {
  const StepLog log{.events = {op(0.1), gather(1, 7), op(0.7), message(2, kSend, 3), LoggedWait{1},
                               op(0.3), LoggedWait{2}}};
  EXPECT_EQ(replay_step(log, seconds_machine()), replay_step(log, seconds_machine()));
}

TEST(ReplayTest, AFasterLinkNeverTakesLonger) {
  const StepLog log{.events = {op(1), gather(1, 100), op(7), message(2, kSend, 30), LoggedWait{1},
                               op(2), LoggedWait{2}}};
  Machine machine = seconds_machine();
  double before = replay_step(log, machine).seconds;
  const double slowest = before;
  for (double bytes_per_second = 11; bytes_per_second < 100; bytes_per_second *= 1.3) {
    machine.mutable_within_node()->set_bytes_per_second(bytes_per_second);
    const double seconds = replay_step(log, machine).seconds;
    EXPECT_LE(seconds, before) << bytes_per_second;
    before = seconds;
  }
  EXPECT_LT(before, slowest);
}

}  // namespace
}  // namespace reformer
