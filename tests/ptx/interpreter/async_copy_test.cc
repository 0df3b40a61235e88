// cp.async lands when it is waited for; whoever looks earlier is told so.
#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::kHeader;

// 32 threads copy 16 bytes each with `copy`, then do `code` and return the words of %a.
struct Outcome {
  std::string fault;
  std::vector<u32> values;
};
Outcome outcome_of(const std::string& code, std::uint32_t threads = 32) {
  Device device(std::string(kHeader) + R"(
.visible .entry k(.param .u64 in, .param .u64 out)
{
  .shared .align 16 .b8 s[2048];
  .reg .b32 %a, %b, %c, %t, %s, %o;
  .reg .b64 %in, %out, %s64;
  .reg .pred %p;
  ld.param.u64 %in, [in];
  ld.param.u64 %out, [out];
  mov.u32 %t, %tid.x;
  mad.wide.u32 %in, %t, 16, %in;
  mad.wide.u32 %out, %t, 4, %out;
  mov.u32 %s, s;
  mad.lo.u32 %s, %t, 16, %s;
  xor.b32 %o, %s, 16;
  )" + code + R"(
  st.global.u32 [%out], %a;
  ret;
})");
  std::vector<u32> words(threads * 4);
  for (u32 i = 0; i < words.size(); ++i) words[i] = 100 + i;
  const DeviceAddress in = device.memory.allocate(words);
  const DeviceAddress out = device.memory.allocate(threads * 4);
  Outcome outcome;
  outcome.fault = device.fault("k", {.block = {threads}}, {in, out});
  if (outcome.fault.empty()) outcome.values = device.memory.read<u32>(out, threads);
  return outcome;
}

const std::string kCopy = "cp.async.cg.shared.global [%s], [%in], 16;\n";
const std::string kFault =
    "shared memory that cp.async writes is accessed before cp.async.wait_group or wait_all";

TEST(AsyncCopyTest, LandsWhenWaitedFor) {
  const Outcome all = outcome_of(kCopy + "cp.async.wait_all; ld.shared.u32 %a, [%s+4];");
  EXPECT_EQ(all.fault, "");
  EXPECT_EQ(all.values[3], 113U);
  const Outcome group = outcome_of(kCopy +
                                   "cp.async.commit_group; cp.async.wait_group 0;"
                                   "ld.shared.u32 %a, [%s+4];");
  EXPECT_EQ(group.values[3], 113U);
}

TEST(AsyncCopyTest, AMissingWaitIsFound) {
  EXPECT_CONTAINS(outcome_of(kCopy + "ld.shared.u32 %a, [%s];").fault, kFault);
  EXPECT_CONTAINS(
      outcome_of(kCopy + "cp.async.commit_group; bar.sync 0; ld.shared.u32 %a, [%s];").fault,
      kFault);
  // Waiting for all but one group leaves the only one on its way.
  EXPECT_CONTAINS(outcome_of(kCopy + "cp.async.commit_group; cp.async.wait_group 1;"
                                     "ld.shared.u32 %a, [%s];")
                      .fault,
                  kFault);
  // A copy that no group was made of is not waited for.
  EXPECT_CONTAINS(outcome_of(kCopy + "cp.async.wait_group 0; ld.shared.u32 %a, [%s];").fault,
                  kFault);
  EXPECT_CONTAINS(outcome_of(kCopy + "st.shared.u32 [%s], %t; mov.u32 %a, 0;").fault, kFault);
}

TEST(AsyncCopyTest, GroupsLandInOrder) {
  const std::string two = kCopy +
                          "cp.async.commit_group; add.u32 %b, %s, 512;"
                          "cp.async.ca.shared.global [%b], [%in+8], 8; cp.async.commit_group;"
                          "cp.async.wait_group 1; ld.shared.u32 %a, [%s];";
  EXPECT_EQ(outcome_of(two).values[2], 108U);
  EXPECT_CONTAINS(outcome_of(two + "ld.shared.u32 %a, [%b];").fault, kFault);
  EXPECT_EQ(outcome_of(two + "cp.async.wait_group 0; ld.shared.u32 %a, [%b];").values[2], 110U);
}

TEST(AsyncCopyTest, FillsWithZeros) {
  const std::string partly =
      "and.b32 %c, %t, 3; shl.b32 %c, %c, 2;"
      "cp.async.cg.shared.global [%s], [%in], 16, %c; cp.async.wait_all;";
  const Outcome first = outcome_of(partly + "ld.shared.u32 %a, [%s];");
  EXPECT_EQ(first.values[0], 0U);
  EXPECT_EQ(first.values[1], 104U);
  const Outcome second = outcome_of(partly + "ld.shared.u32 %a, [%s+4];");
  EXPECT_EQ(second.values[1], 0U);
  EXPECT_EQ(second.values[2], 109U);
}

TEST(AsyncCopyTest, TheSourceIsChecked) {
  EXPECT_CONTAINS(outcome_of("cp.async.cg.shared.global [%s], [%in+512], 16; mov.u32 %a, 0;").fault,
                  "out of bounds by 16 bytes of an allocation of 512 bytes (read of 16 bytes");
  EXPECT_CONTAINS(outcome_of("cp.async.cg.shared.global [%s], [%in+4], 16; mov.u32 %a, 0;").fault,
                  "misaligned read of 16 bytes");
  // With nothing to copy the source may be anywhere.
  EXPECT_EQ(outcome_of("cp.async.cg.shared.global [%s], [%in+512], 16, 0; cp.async.wait_all;"
                       "ld.shared.u32 %a, [%s];")
                .fault,
            "");
}

TEST(AsyncCopyTest, OthersNeedABarrierAfterTheWait) {
  const std::string other = kCopy + "cp.async.wait_all; xor.b32 %o, %s, 512;";
  EXPECT_CONTAINS(outcome_of(other + "ld.shared.u32 %a, [%o];", 64).fault, "shared-memory race");
  EXPECT_EQ(outcome_of(other + "bar.sync 0; ld.shared.u32 %a, [%o];", 64).values[0], 228U);
}

TEST(AsyncCopyTest, RefusesSizesThatDoNotExist) {
  const auto error = [](const std::string& copy) {
    return testing::parse_error(testing::kernel_around(copy, 4));
  };
  EXPECT_CONTAINS(error("cp.async.cg.shared.global [%a], [%in], 8;"), "unknown instruction");
  EXPECT_CONTAINS(error("cp.async.ca.shared.global [%a], [%in], 12;"), "unknown instruction");
  EXPECT_CONTAINS(error("cp.async.bulk.shared.global [%a], [%in], 16;"), "unknown instruction");
}

}  // namespace
}  // namespace reformer::ptx
