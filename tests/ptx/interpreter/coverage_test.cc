#include "tests/ptx/interpreter/coverage.h"

#include <sstream>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::kHeader;

const std::string kText = std::string(kHeader) + R"(.visible .entry _Z4halfPf()
{
  .reg .pred %p;
  .reg .b32 %r<3>;
  mov.u32 %r1, %tid.x;
  setp.lt.u32 %p, %r1, 99;
  @%p bra end;
  add.s32 %r1, %r1, 1;
  add.s32 %r1, %r1, 2;
end:
  mul.lo.s32 %r2, %r1, 3;
  ret;
}
.visible .entry whole() { ret; }
)";

Coverage measured() {
  Device device(kText);
  Coverage coverage;
  device.run("_Z4halfPf", {.grid = {2}, .block = {40}}, {}, {.host_threads = 2}, &coverage);
  device.run("whole", {.block = {1}}, {}, {}, &coverage);
  return coverage;
}

TEST(CoverageTest, CountsLinesAndInstructions) {
  Coverage coverage = measured();
  const KernelCoverage& half = coverage.kernels["_Z4halfPf"];
  EXPECT_EQ(half.launches, 1U);
  EXPECT_EQ(half.lines.size(), 7U);
  EXPECT_EQ(half.lines_executed(), 5U);
  EXPECT_TRUE(half.lines.at(8));
  EXPECT_FALSE(half.lines.at(11));
  EXPECT_EQ(half.thread_instructions, 2U * 40 * 5);
  EXPECT_EQ(coverage.instructions["setp.lt.u32"], 80U);
  EXPECT_EQ(coverage.instructions["ret"], 81U);
  EXPECT_FALSE(coverage.instructions.contains("add.s32"));
}

TEST(CoverageTest, AFaultLeavesWhatWasCovered) {
  Device device(std::string(kHeader) +
                ".visible .entry k() { .reg .b32 %r; mov.u32 %r, 1;\n trap;\n ret; }");
  Coverage coverage;
  EXPECT_THROW(device.run("k", {.block = {1}}, {}, {}, &coverage), Fault);
  EXPECT_TRUE(coverage.kernels["k"].lines.at(4));
  EXPECT_FALSE(coverage.kernels["k"].lines.at(6));
}

TEST(CoverageTest, Merges) {
  Coverage both = measured();
  Coverage other;
  other.kernels["_Z4halfPf"].lines[11] = true;
  other.kernels["_Z4halfPf"].launches = 2;
  other.instructions["ret"] = 1;
  both.merge(other);
  EXPECT_EQ(both.kernels["_Z4halfPf"].launches, 3U);
  EXPECT_EQ(both.kernels["_Z4halfPf"].lines_executed(), 6U);
  EXPECT_EQ(both.instructions["ret"], 82U);
}

TEST(CoverageTest, PrintsTables) {
  const Coverage coverage = measured();
  const std::string table = coverage.kernel_table(true);
  EXPECT_CONTAINS(table, "        1     5/7      71.4%             400 half(float*)\n");
  EXPECT_CONTAINS(table, "never executed: lines 11-12\n");
  EXPECT_LT(table.find("half"), table.find("whole"));  // the least covered first
  EXPECT_CONTAINS(coverage.instruction_table(), "             81 ret\n             80 bra\n");
}

TEST(CoverageTest, IsWrittenAndRead) {
  const Coverage coverage = measured();
  std::stringstream text;
  coverage.write(text);
  const Coverage read = Coverage::read(text);
  EXPECT_EQ(read.kernel_table(true), coverage.kernel_table(true));
  EXPECT_EQ(read.instruction_table(), coverage.instruction_table());
  std::stringstream damaged("kernel k 1 2\nline 3\n");
  EXPECT_THROW(Coverage::read(damaged), std::runtime_error);
  std::stringstream other("something else");
  EXPECT_THROW(Coverage::read(other), std::runtime_error);
}

}  // namespace
}  // namespace reformer::ptx
