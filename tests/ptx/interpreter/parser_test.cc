#include "tests/ptx/interpreter/parser.h"

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::kHeader;
using testing::parse_error;

std::string in_kernel(const std::string& body) {
  return std::string(kHeader) + ".visible .entry k()\n{\n" + body + "\n}\n";
}

TEST(ParserTest, ReadsVariables) {
  const std::string text = std::string(kHeader) + R"(
.visible .global .align 8 .b8 bytes[12] = {1, 2, 0xff};
.const .align 4 .f32 weights[2] = {0f3F800000, 0f40000000};
.global .u64 table[] = {generic(bytes), bytes+4};
.extern .shared .align 16 .b8 dynamic[];
.shared .align 4 .b8 fixed[100];
)";
  const ModuleSyntax module = parse_syntax(text);
  ASSERT_EQ(module.variables.size(), 5U);
  EXPECT_EQ(module.variables[0].bytes, 12U);
  EXPECT_EQ(module.variables[0].alignment, 8U);
  EXPECT_EQ(module.variables[0].values.size(), 3U);
  EXPECT_EQ(module.variables[1].space, Space::kConstant);
  EXPECT_EQ(module.variables[1].values[1].number.bits, 0x40000000U);
  EXPECT_EQ(module.variables[2].bytes, 16U);
  EXPECT_EQ(module.variables[2].values[1].symbol, "bytes");
  EXPECT_EQ(module.variables[2].values[1].offset, 4);
  EXPECT_TRUE(module.variables[3].external);
  EXPECT_EQ(module.variables[4].bytes, 100U);
}

TEST(ParserTest, ReadsKernels) {
  const std::string text = std::string(kHeader) + R"(
.visible .entry k(
  .param .u32 n,
  .param .u64 .ptr .global .align 1 p,
  .param .align 4 .b8 s[12]
)
.maxntid 128, 2, 1
.minnctapersm 2
{
  .reg .pred %p<3>;
  .reg .b32 %r<5>, single;
  .loc 1 2 3
  @%p1 add.s32 %r4, single, -1;
  ret;
}
)";
  const ModuleSyntax module = parse_syntax(text);
  ASSERT_EQ(module.functions.size(), 1U);
  const FunctionSyntax& kernel = module.functions[0];
  EXPECT_EQ(kernel.max_threads, 256U);
  EXPECT_EQ(kernel.registers.size(), 9U);
  ASSERT_EQ(kernel.parameters.size(), 3U);
  EXPECT_EQ(kernel.parameter_space[1].offset, 8U);
  EXPECT_EQ(kernel.parameter_space[2].offset, 16U);
  EXPECT_EQ(kernel.parameter_space[2].bytes, 12U);
  ASSERT_EQ(kernel.statements.size(), 2U);
  const Statement& add = kernel.statements[0];
  EXPECT_EQ(add.predicate, 1);
  EXPECT_EQ(add.opcode, "add");
  EXPECT_EQ(add.operands[0].index, 7);
  EXPECT_EQ(add.operands[1].index, 8);
  EXPECT_EQ(add.operands[2].number.bits, ~u64{0});
  EXPECT_EQ(add.line, 16);
  EXPECT_EQ(add.text, "@%p1 add.s32 %r4, single, -1");
}

TEST(ParserTest, ScopesHaveTheirOwnRegistersAndLabels) {
  const std::string text = in_kernel(R"(
  .reg .b32 r;
  { .reg .b32 r; again: mov.u32 r, 1; bra again; }
  { .reg .b32 r; again: mov.u32 r, 2; bra again; }
  mov.u32 r, 3;)");
  const FunctionSyntax kernel = parse_syntax(text).functions[0];
  EXPECT_EQ(kernel.statements[0].operands[0].index, 1);
  EXPECT_EQ(kernel.statements[2].operands[0].index, 2);
  EXPECT_EQ(kernel.statements[4].operands[0].index, 0);
  EXPECT_EQ(parse_error(text), "");
}

TEST(ParserTest, NamesAnUnknownInstructionAndItsLine) {
  EXPECT_EQ(parse_error(in_kernel("  tcgen05.mma.cta_group::1.kind::f16 [%r1], %r2;")),
            "unknown instruction `tcgen05.mma.cta_group::1.kind::f16` at line 6");
  EXPECT_EQ(parse_error(in_kernel("  .reg .b32 %r<3>;\n  tcgen05.mma.kind::f16 %r1, %r2;")),
            "unknown instruction `tcgen05.mma.kind::f16` at line 7");
}

TEST(ParserTest, NamesAModifierThatIsNotKnown) {
  EXPECT_EQ(parse_error(in_kernel("  .reg .f32 %f<3>;\n  add.rn.fancy.f32 %f1, %f2, %f0;")),
            "unknown instruction `add.rn.fancy.f32` at line 7");
  EXPECT_EQ(parse_error(in_kernel("  .reg .b32 %r<3>;\n  mul.s32 %r1, %r2, %r0;")),
            "unknown instruction `mul.s32` at line 7");
  EXPECT_EQ(parse_error(in_kernel("  .reg .b32 %r<3>;\n  add.s32 %r1, %r2;")),
            "unknown instruction `add.s32` at line 7");
}

TEST(ParserTest, RefusesMalformedTexts) {
  EXPECT_EQ(parse_error(".version 8.0\n.what x;"), "unexpected `.what` at line 2");
  EXPECT_EQ(parse_error(in_kernel("  bra nowhere;")), "no label `nowhere` at line 6");
  EXPECT_EQ(parse_error(in_kernel("  .reg .b32 %r;\n  mov.u32 %r, unknown;")),
            "unknown name `unknown` at line 7");
  EXPECT_EQ(parse_error(in_kernel("  @%p mov.u32 %r, 1;")), "`%p` is no register at line 6");
  EXPECT_EQ(parse_error(".visible .entry k()\n{\n"), "a function without an end at line 3");
  EXPECT_EQ(parse_error(".global .b8 x[2] = {1, 2, 3};"), "more values than `x` holds at line 1");
  EXPECT_EQ(parse_error(in_kernel("  .reg .b32 %r;\n  mov.u32 %r, 0f3F80;")),
            "unexpected `0f3F80` at line 7");
}

}  // namespace
}  // namespace reformer::ptx
