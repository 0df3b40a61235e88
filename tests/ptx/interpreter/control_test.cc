// Branches, tables, calls, exits.
#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::evaluate;
using testing::kHeader;
using testing::Row;

std::vector<Row> numbers(u64 count) {
  std::vector<Row> rows;
  for (u64 i = 0; i < count; ++i) rows.push_back({i, 0, 0, 0});
  return rows;
}

TEST(ControlTest, LanesTakeTheirOwnWay) {
  // Collatz steps of each number.
  const std::string steps = R"(
  mov.u32 %d, 0;
  max.u32 %a, %a, 1;
again:
  setp.eq.u32 %p, %a, 1;
  @%p bra done;
  add.u32 %d, %d, 1;
  and.b32 %x0, %a, 1;
  setp.eq.u32 %p, %x0, 0;
  @%p bra even;
  mad.lo.u32 %a, %a, 3, 1;
  bra.uni again;
even:
  shr.u32 %a, %a, 1;
  bra.uni again;
done:)";
  const auto values = evaluate(steps, 4, numbers(100));
  for (u64 i = 0; i < 100; ++i) {
    u64 n = std::max<u64>(i, 1), expected = 0;
    for (; n != 1; n = n % 2 == 0 ? n / 2 : 3 * n + 1) ++expected;
    EXPECT_EQ(values[i], expected) << i;
  }
}

TEST(ControlTest, BranchesByTable) {
  const std::string table = R"(
  and.b32 %x0, %a, 3;
  ts: .branchtargets zero, one, two, zero;
  brx.idx %x0, ts;
zero:
  mov.u32 %d, 100;
  bra end;
one:
  mov.u32 %d, 101;
  bra end;
two:
  mov.u32 %d, 102;
end:)";
  const auto values = evaluate(table, 4, numbers(32));
  for (u64 i = 0; i < 32; ++i) EXPECT_EQ(values[i], i % 4 == 3 ? 100 : 100 + i % 4);
  const std::string beyond = "ts: .branchtargets zero; brx.idx %a, ts;\nzero: mov.u32 %d, 0;";
  EXPECT_THROW(evaluate(beyond, 4, numbers(2)), Fault);
}

const char* kFunctions = R"(
.func (.param .b32 result) fib(.param .b32 n)
{
  .reg .pred %p;
  .reg .b32 %n, %a, %b;
  ld.param.u32 %n, [n];
  setp.lt.u32 %p, %n, 2;
  @%p bra small;
  sub.u32 %a, %n, 1;
  { .param .b32 x; .param .b32 y; st.param.b32 [x], %a; call.uni (y), fib, (x); ld.param.b32 %a, [y]; }
  sub.u32 %b, %n, 2;
  { .param .b32 x; .param .b32 y; st.param.b32 [x], %b; call.uni (y), fib, (x); ld.param.b32 %b, [y]; }
  add.u32 %n, %a, %b;
small:
  st.param.b32 [result], %n;
  ret;
}
.func (.param .b32 result) twice(.param .b32 n)
{
  .local .align 4 .b8 kept[16];
  .reg .b32 %n;
  ld.param.u32 %n, [n];
  st.local.u32 [kept+12], %n;
  ld.local.u32 %n, [kept+12];
  shl.b32 %n, %n, 1;
  st.param.b32 [result], %n;
  ret;
}
.global .align 8 .u64 table[2] = {fib, twice};
.func endless()
{
  call endless;
  ret;
}
)";

std::string with_functions(const std::string& code) {
  return std::string(kHeader) + kFunctions + R"(
.visible .entry k(.param .u64 out)
{
  .local .align 4 .b8 own[16];
  .reg .pred %p;
  .reg .b32 %r<8>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [out];
  mov.u32 %r1, %tid.x;
  mad.wide.u32 %rd1, %r1, 4, %rd1;
  )" + code +
         "\n  st.global.u32 [%rd1], %r2;\n  ret;\n}\n";
}

std::vector<u32> results_of(const std::string& code) {
  Device device(with_functions(code));
  const DeviceAddress out = device.memory.allocate(32 * 4);
  device.run("k", {.block = {32}}, {out});
  return device.memory.read<u32>(out, 32);
}

TEST(ControlTest, FunctionsCallThemselves) {
  const auto values = results_of(
      "and.b32 %r3, %r1, 7; { .param .b32 x; .param .b32 y; st.param.b32 [x], %r3;"
      "call.uni (y), fib, (x); ld.param.b32 %r2, [y]; }");
  const std::vector<u32> fibonacci = {0, 1, 1, 2, 3, 5, 8, 13};
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(values[i], fibonacci[i % 8]);
}

TEST(ControlTest, FunctionsAreCalledThroughPointers) {
  const auto values = results_of(
      "st.local.u32 [own+12], %r1;"
      "and.b32 %r3, %r1, 1; mov.u64 %rd2, table; mad.wide.u32 %rd2, %r3, 8, %rd2; ld.global.u64 "
      "%rd3, [%rd2];"
      "{ .param .b32 x; .param .b32 y; and.b32 %r5, %r1, 15; st.param.b32 [x], %r5; call (y), "
      "%rd3, (x), proto;"
      "ld.param.b32 %r2, [y]; }\n proto: .callprototype (.param .b32 _) _ (.param .b32 _);\n"
      "ld.local.u32 %r4, [own+12]; mad.lo.u32 %r2, %r4, 10000000, %r2;");
  std::vector<u32> fibonacci = {0, 1};
  for (std::size_t i = 2; i < 16; ++i) fibonacci.push_back(fibonacci[i - 1] + fibonacci[i - 2]);
  for (u32 i = 0; i < 32; ++i) {
    const u32 n = i % 16;
    EXPECT_EQ(values[i], (i % 2 == 0 ? fibonacci[n] : 2 * n) + 10000000 * i);
  }
}

TEST(ControlTest, CallsWithoutAnEndAreAFault) {
  Device device(with_functions("call endless;"));
  const DeviceAddress out = device.memory.allocate(32 * 4);
  EXPECT_CONTAINS(device.fault("k", {.block = {32}}, {out}), "too many calls within calls");
}

TEST(ControlTest, ThreadsEndOneByOne) {
  const std::string ends = R"(
  mov.u64 %D, 1;
  st.global.u64 [%out], %D;
  setp.lt.u32 %p, %a, 5;
  @%p exit;
  mov.u64 %D, 2;
  st.global.u64 [%out], %D;
  setp.lt.u32 %p, %a, 10;
  @%p ret;
  mov.u64 %D, 3;)";
  const auto values = evaluate(ends, 8, numbers(32));
  for (u64 i = 0; i < 32; ++i) EXPECT_EQ(values[i], i < 5 ? 1U : i < 10 ? 2U : 3U);
}

TEST(ControlTest, TrapsAndAssertionsAreFaults) {
  Device device(std::string(kHeader) + R"(
.extern .func __assertfail(.param .b64 a);
.extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b);
.visible .entry stops() { trap; }
.visible .entry asserts() { { .param .b64 x; call.uni __assertfail, (x); } ret; }
.visible .entry prints() { { .param .b64 x; .param .b64 y; .param .b32 z; call.uni (z), vprintf, (x, y); } ret; }
.visible .entry without_end() { .reg .b32 %r; mov.u32 %r, 1; }
)");
  EXPECT_CONTAINS(device.fault("stops", {.block = {32}}, {}), "trap: stops, line 7 `trap`");
  EXPECT_CONTAINS(device.fault("asserts", {.block = {32}}, {}), "an assertion failed");
  EXPECT_EQ(device.fault("prints", {.block = {32}}, {}), "");
  EXPECT_EQ(device.fault("without_end", {.block = {32}}, {}), "");
}

TEST(ControlTest, FencesSleepsAndHintsPass) {
  EXPECT_EQ(evaluate("membar.cta; membar.gl; fence.acq_rel.gpu; fence.sc.sys; nanosleep.u32 10;"
                     "prefetch.global.L2 [%in]; prefetchu.L1 [%in]; add.u32 %d, %a, 1;",
                     4, numbers(3)),
            (std::vector<u64>{1, 2, 3}));
}

}  // namespace
}  // namespace reformer::ptx
