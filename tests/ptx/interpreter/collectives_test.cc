#include <algorithm>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::evaluate;
using testing::kernel_around;
using testing::Row;

std::vector<Row> lanes() {
  std::vector<Row> rows;
  for (u64 i = 0; i < 32; ++i) rows.push_back({1000 + i, i % 3, i * i, 0});
  return rows;
}

void expect_shuffled(const std::string& code, int (*source)(int)) {
  const auto values = evaluate(code, 4, lanes());
  for (int l = 0; l < 32; ++l) {
    EXPECT_EQ(values[static_cast<std::size_t>(l)], static_cast<u64>(1000 + source(l)))
        << code << " lane " << l;
  }
}

TEST(CollectivesTest, Shuffles) {
  expect_shuffled("shfl.sync.bfly.b32 %d, %a, 5, 31, -1;", [](int l) { return l ^ 5; });
  expect_shuffled("shfl.sync.up.b32 %d, %a, 3, 0, -1;", [](int l) { return l < 3 ? l : l - 3; });
  expect_shuffled("shfl.sync.down.b32 %d, %a, 3, 31, -1;",
                  [](int l) { return l > 28 ? l : l + 3; });
  expect_shuffled("shfl.sync.idx.b32 %d, %a, 7, 31, -1;", [](int) { return 7; });
  // Segments of 8 lanes.
  expect_shuffled("shfl.sync.idx.b32 %d, %a, 10, 0x181f, -1;", [](int l) { return (l & 24) + 2; });
  expect_shuffled("shfl.sync.down.b32 %d, %a, 1, 0x181f, -1;",
                  [](int l) { return l % 8 == 7 ? l : l + 1; });
  expect_shuffled("shfl.sync.up.b32 %d, %a, 2, 0x1800, -1;",
                  [](int l) { return l % 8 < 2 ? l : l - 2; });
}

TEST(CollectivesTest, ShufflesSayWhetherTheyStayedInside) {
  const auto values =
      evaluate("shfl.sync.down.b32 %x0|%p, %a, 3, 31, -1; selp.u32 %d, 1, 0, %p;", 4, lanes());
  for (std::size_t l = 0; l < 32; ++l) EXPECT_EQ(values[l], l < 29 ? 1U : 0U);
}

TEST(CollectivesTest, Votes) {
  const std::string odd = "setp.eq.u32 %p, %b, 1; ";
  u32 ballot = 0;
  for (u32 l = 0; l < 32; ++l) ballot |= (l % 3 == 1 ? 1U : 0U) << l;
  EXPECT_EQ(evaluate(odd + "vote.sync.ballot.b32 %d, %p, -1;", 4, lanes())[5], ballot);
  EXPECT_EQ(evaluate(odd + "vote.ballot.sync.b32 %d, !%p, -1;", 4, lanes())[5], ~ballot);
  const auto vote = [&](const std::string& kind, const std::string& predicate) {
    return evaluate(
        odd + "vote.sync." + kind + ".pred %q, " + predicate + ", -1; selp.u32 %d, 1, 0, %q;", 4,
        lanes())[9];
  };
  EXPECT_EQ(vote("any", "%p"), 1U);
  EXPECT_EQ(vote("all", "%p"), 0U);
  EXPECT_EQ(vote("uni", "%p"), 0U);
  EXPECT_EQ(evaluate("setp.gt.u32 %p, %a, 5; vote.sync.all.pred %q, %p, -1; selp.u32 %d, 1, 0, %q;",
                     4, lanes())[9],
            1U);
  EXPECT_EQ(evaluate("activemask.b32 %d;", 4, lanes())[3], 0xffffffffU);
}

TEST(CollectivesTest, Matches) {
  const auto any = evaluate("match.any.sync.b32 %d, %b, -1;", 4, lanes());
  for (u32 l = 0; l < 32; ++l) {
    u32 expected = 0;
    for (u32 j = 0; j < 32; ++j) expected |= (j % 3 == l % 3 ? 1U : 0U) << j;
    EXPECT_EQ(any[l], expected);
  }
  EXPECT_EQ(evaluate("match.all.sync.b64 %d|%p, %B, -1;", 4, lanes())[0], 0U);
  EXPECT_EQ(evaluate("match.all.sync.b32 %d|%p, 7, -1;", 4, lanes())[0], 0xffffffffU);
}

TEST(CollectivesTest, Reduces) {
  const auto reduced = [](const std::string& kind, const std::string& of) {
    return evaluate("redux.sync." + kind + " %d, " + of + ", -1;", 4, lanes())[17];
  };
  EXPECT_EQ(reduced("add.u32", "%a"), 32U * 1000 + 31 * 16);
  EXPECT_EQ(reduced("max.u32", "%c"), 31U * 31);
  EXPECT_EQ(reduced("and.b32", "%a"), 1000U & 1024);
  EXPECT_EQ(reduced("or.b32", "%b"), 3U);
  const std::string negative = "sub.s32 %x0, 5, %c; ";
  EXPECT_EQ(evaluate(negative + "redux.sync.min.s32 %d, %x0, -1;", 4, lanes())[0],
            static_cast<u32>(5 - 961));
  EXPECT_EQ(evaluate(negative + "redux.sync.min.u32 %d, %x0, -1;", 4, lanes())[0], 1U);
}

TEST(CollectivesTest, PartsOfAWarpWorkByThemselves) {
  // Lower and upper half meet in different instructions with masks of their own.
  const std::string halves = R"(
  setp.lt.u32 %p, %t, 16;
  @%p bra lower;
  redux.sync.add.u32 %d, %t, 0xffff0000;
  shfl.sync.bfly.b32 %x0, %t, 1, 31, 0xffff0000;
  bra end;
lower:
  redux.sync.add.u32 %d, %t, 0xffff;
  shfl.sync.bfly.b32 %x0, %t, 2, 31, 0xffff;
end:
  bar.warp.sync -1;
  mad.lo.u32 %d, %x0, 1000, %d;)";
  const auto values = evaluate(halves, 4, lanes());
  for (u64 l = 0; l < 32; ++l) {
    EXPECT_EQ(values[l], l < 16 ? 120 + (l ^ 2) * 1000 : 376 + (l ^ 1) * 1000);
  }
}

TEST(CollectivesTest, LanesThatPartMeetAgain) {
  // Loops of different lengths, then one instruction for all.
  const std::string loops = R"(
  mov.u32 %d, 0;
  and.b32 %x0, %t, 7;
again:
  setp.eq.u32 %p, %x0, 0;
  @%p bra done;
  sub.u32 %x0, %x0, 1;
  add.u32 %d, %d, 1;
  bra again;
done:
  activemask.b32 %x1;
  redux.sync.add.u32 %d, %d, -1;
  setp.ne.b32 %p, %x1, -1;
  @%p add.u32 %d, %d, 10000;)";
  EXPECT_EQ(evaluate(loops, 4, lanes()), std::vector<u64>(32, 4 * 28));
}

std::string fault_of(const std::string& code, std::uint32_t threads = 32) {
  Device device(kernel_around(code, 4));
  const DeviceAddress in = device.memory.allocate(std::vector<Row>(threads));
  const DeviceAddress out = device.memory.allocate(std::size_t{threads} * 8);
  return device.fault("k", {.block = {threads}}, {in, out});
}

TEST(CollectivesTest, FaultsOfMasks) {
  EXPECT_CONTAINS(fault_of("vote.sync.ballot.b32 %d, %p, 0xffff;"),
                  "a lane is not in its own member mask");
  EXPECT_CONTAINS(
      fault_of("setp.gt.u32 %p, %t, 19; @%p exit; shfl.sync.bfly.b32 %d, %a, 1, 31, -1;"),
      "a member mask names lane 20, which has ended or never was");
  EXPECT_CONTAINS(fault_of("bar.warp.sync -1;", 24), "names lane 24, which has ended or never was");
  EXPECT_EQ(fault_of("bar.warp.sync 0xffffff;", 24), "");
}

TEST(CollectivesTest, FaultsOfShuffles) {
  EXPECT_CONTAINS(
      fault_of("setp.gt.u32 %p, %t, 15; @%p shfl.sync.idx.b32 %d, %a, 3, 31, 0xffff0000;"),
      "shfl reads lane 3, which does not take part");
  EXPECT_CONTAINS(fault_of("setp.gt.u32 %p, %t, 15; @%p shfl.sync.bfly.b32 %d, %a, 1, 31, -1;"),
                  "deadlock: from thread 0 on");
}

}  // namespace
}  // namespace reformer::ptx
