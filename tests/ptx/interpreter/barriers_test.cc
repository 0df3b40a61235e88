// Barriers of a block, and what becomes of threads that never meet.
#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::kHeader;

std::string kernel(const std::string& code) {
  return std::string(kHeader) + R"(
.visible .entry k(.param .u64 out)
{
  .shared .align 4 .b8 s[512];
  .reg .pred %p, %q;
  .reg .b32 %r<8>, %t, %s, %d, %w;
  .reg .b64 %out;
  ld.param.u64 %out, [out];
  mov.u32 %t, %tid.x;
  mov.u32 %w, %warpid;
  mov.u32 %d, 0;
  mad.wide.u32 %out, %t, 4, %out;
  mov.u32 %s, s;
  mad.lo.u32 %s, %t, 4, %s;
  )" + code +
         "\n  st.global.u32 [%out], %d;\n  ret;\n}\n";
}

std::string fault_of(const std::string& code, const LaunchOptions& options = {}) {
  Device device(kernel(code));
  const DeviceAddress out = device.memory.allocate(96 * 4);
  return device.fault("k", {.block = {96}}, {out}, options);
}

std::vector<u32> results_of(const std::string& code, const LaunchOptions& options = {}) {
  Device device(kernel(code));
  const DeviceAddress out = device.memory.allocate(96 * 4);
  device.run("k", {.block = {96}}, {out}, options);
  return device.memory.read<u32>(out, 96);
}

TEST(BarriersTest, EveryThreadSeesWhatWasBefore) {
  const std::string reversed =
      "st.shared.u32 [%s], %t; bar.sync 0; sub.u32 %r1, 95, %t; mov.u32 %r2, s;"
      "mad.lo.u32 %r2, %r1, 4, %r2; ld.shared.u32 %d, [%r2];";
  for (const Order order : {Order::kForward, Order::kReversed, Order::kShuffled}) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      const auto values = results_of(reversed, {.warp_order = order, .seed = seed});
      for (u32 i = 0; i < 96; ++i) EXPECT_EQ(values[i], 95 - i);
    }
  }
}

TEST(BarriersTest, ReduceAPredicate) {
  const auto reduced = [](const std::string& reduction) {
    return results_of("setp.lt.u32 %p, %t, 40; " + reduction)[95];
  };
  EXPECT_EQ(reduced("bar.red.popc.u32 %d, 0, %p;"), 40U);
  EXPECT_EQ(reduced("bar.red.popc.u32 %d, 0, !%p;"), 56U);
  EXPECT_EQ(reduced("bar.red.and.pred %q, 0, %p; selp.u32 %d, 1, 0, %q;"), 0U);
  EXPECT_EQ(reduced("bar.red.or.pred %q, 0, 96, %p; selp.u32 %d, 1, 0, %q;"), 1U);
  EXPECT_EQ(reduced("setp.lt.u32 %p, %t, 100; bar.red.and.pred %q, 0, %p; selp.u32 %d, 1, 0, %q;"),
            1U);
}

TEST(BarriersTest, SomeWarpsMeetInABarrierOfTheirOwn) {
  // Warps 0 and 1 hand over to warp 2 without waiting for it.
  const std::string handed = R"(
  setp.eq.u32 %p, %w, 2;
  @%p bra consumer;
  st.shared.u32 [%s], %t;
  bar.arrive 1, 96;
  bar.sync 2, 64;
  bra end;
consumer:
  bar.sync 1, 96;
  ld.shared.u32 %d, [%s+-256];
end:)";
  const auto values = results_of(handed);
  for (u32 i = 64; i < 96; ++i) EXPECT_EQ(values[i], i - 64);
}

TEST(BarriersTest, ThreadsThatEndedAreNotWaitedFor) {
  EXPECT_EQ(fault_of("setp.lt.u32 %p, %t, 40; @%p exit; bar.sync 0;"), "");
}

TEST(BarriersTest, DeadlocksSayWhoWaitsWhere) {
  const std::string fault = fault_of(
      "setp.gt.u32 %p, %t, 47; @%p bra other;\nbar.sync 0; bra end;\nother:\n"
      "shfl.sync.bfly.b32 %d, %t, 1, 31, -1;\nend:");
  EXPECT_CONTAINS(fault,
                  "deadlock: from thread 0 on they wait at line 19, from thread 48 on they wait at "
                  "line 21");
  EXPECT_CONTAINS(fault, "and nobody can go on");
}

TEST(BarriersTest, ABarrierThatDivergesIsAFault) {
  const std::string diverging =
      "and.b32 %r1, %t, 1; setp.eq.u32 %p, %r1, 0; @%p bra other;\nbar.sync 0; bra end;\nother:\n"
      "bar.sync 0;\nend:";
  EXPECT_CONTAINS(fault_of(diverging),
                  "a divergent barrier: other lanes of the warp wait at line 19");
  const std::string not_aligned =
      "and.b32 %r1, %t, 1; setp.eq.u32 %p, %r1, 0; @%p bra other;\nbarrier.sync 0; bra "
      "end;\nother:\n"
      "barrier.sync 0;\nend:";
  EXPECT_EQ(fault_of(not_aligned), "");
}

TEST(BarriersTest, StrictlyAllWarpsComeToTheSameBarrier) {
  const std::string different =
      "setp.eq.u32 %p, %w, 1; @%p bra other;\nbar.sync 0; bra end;\nother:\nbar.sync 0;\nend:";
  EXPECT_EQ(fault_of(different), "");
  EXPECT_CONTAINS(fault_of(different, {.strict_barriers = true}),
                  "threads meet in one barrier from different places, the other at line 19");
}

TEST(BarriersTest, AHangHasALimit) {
  EXPECT_CONTAINS(fault_of("again: ld.volatile.global.u32 %d, [%out]; bra again;",
                           {.unwritten_global = false, .instruction_limit = 100000}),
                  "a hang: the block has executed more than 100000 instructions");
}

TEST(BarriersTest, NumbersGoTo15) {
  EXPECT_EQ(fault_of("bar.sync 15;"), "");
  EXPECT_CONTAINS(fault_of("bar.sync 16;"), "no barrier has this number");
}

}  // namespace
}  // namespace reformer::ptx
