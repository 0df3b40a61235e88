#include <fstream>
#include <sstream>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::kHeader;

const std::string kText = std::string(kHeader) + R"(
.visible .global .align 4 .f32 scales[3] = {0f3F800000, 0.5};
.visible .const .align 8 .b8 bytes[5] = {1, 2, 3};
.global .align 8 .u64 pointers[2] = {generic(scales)+4, bytes};
.visible .entry _Z1aPfi(.param .u64 x, .param .u32 n, .param .align 16 .b8 s[20]) .maxntid 96
{
  .reg .b32 %r1;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [x];
  mov.u64 %rd2, pointers;
  ld.global.u64 %rd2, [%rd2];
  ld.global.u32 %r1, [%rd2];
  st.global.u32 [%rd1], %r1;
  ld.const.u8 %r1, [bytes+2];
  st.global.u32 [%rd1+4], %r1;
  ret;
}
.visible .entry b() { ret; }
)";

TEST(ModuleTest, DescribesItsKernels) {
  Device device(kText);
  EXPECT_EQ(device.module.kernel_names(), (std::vector<std::string>{"_Z1aPfi", "b"}));
  EXPECT_TRUE(device.module.has_kernel("b"));
  EXPECT_FALSE(device.module.has_kernel("c"));
  EXPECT_THROW(device.module.kernel("c"), std::out_of_range);
  const KernelInfo& a = device.module.info("_Z1aPfi");
  EXPECT_EQ(a.name, "_Z1aPfi");
  EXPECT_EQ(a.parameters.size(), 3U);
  EXPECT_EQ(a.parameters[1].offset, 8U);
  EXPECT_EQ(a.parameters[2].offset, 16U);
  EXPECT_EQ(a.parameter_bytes, 36U);
  EXPECT_EQ(a.max_threads, 96U);
  EXPECT_EQ(a.static_shared_bytes, 0U);
}

TEST(ModuleTest, PlacesItsVariables) {
  Device device(kText);
  const VariableInfo* scales = device.module.variable("scales");
  ASSERT_NE(scales, nullptr);
  EXPECT_EQ(scales->bytes, 12U);
  EXPECT_EQ(device.memory.read<float>(scales->address, 3), (std::vector<float>{1, 0.5, 0}));
  const VariableInfo* bytes = device.module.variable("bytes");
  EXPECT_TRUE(bytes->constant);
  EXPECT_EQ(device.memory.read<u8>(bytes->address, 5), (std::vector<u8>{1, 2, 3, 0, 0}));
  EXPECT_EQ(device.memory.read<u64>(device.module.variable("pointers")->address, 2),
            (std::vector<u64>{scales->address + 4, bytes->address}));
  EXPECT_EQ(device.module.variable("nothing"), nullptr);
  EXPECT_EQ(device.module.variables().size(), 3U);
}

TEST(ModuleTest, KernelsReachItsVariables) {
  Device device(kText);
  const DeviceAddress out = device.memory.allocate(8);
  const u32 n = 0;
  const std::vector<u8> structure(20);
  const std::vector<const void*> arguments = {&out, &n, structure.data()};
  launch(device.module.kernel("_Z1aPfi"), {.block = {1}}, arguments, device.memory);
  EXPECT_EQ(device.memory.read<u32>(out, 2), (std::vector<u32>{0x3f000000, 3}));
}

TEST(ModuleTest, IsLoadedOnce) {
  Device device(kText);
  EXPECT_THROW(device.module.load(device.memory), std::logic_error);
  Module module = Module::parse(kText);
  EXPECT_THROW(module.kernel("_Z1aPfi"), ParseError);
}

TEST(ModuleTest, ModuleWideSharedMemoryIsTheKernelsThatUseIt) {
  Device device(std::string(kHeader) + R"(
.shared .align 4 .b8 wide[100];
.visible .entry uses() { .reg .b32 %r; .shared .align 4 .b8 own[8]; mov.u32 %r, wide; mov.u32 %r, own; ret; }
.visible .entry only() { .reg .b32 %r; mov.u32 %r, wide; ret; }
.visible .entry none() { ret; }
)");
  EXPECT_EQ(device.module.info("uses").static_shared_bytes, 136U);
  EXPECT_EQ(device.module.info("only").static_shared_bytes, 100U);
  EXPECT_EQ(device.module.info("none").static_shared_bytes, 0U);
}

TEST(ModuleTest, RegistersThatAreLiveTogetherStayApart) {
  // More values than the sum of what is live at any time; all are needed in the end.
  std::string body = "mov.u32 %d, 0;";
  for (int i = 0; i < 40; ++i) {
    const std::string n = std::to_string(i);
    body += ".reg .b32 %v" + n + ", %w" + n + "; add.u32 %v" + n + ", %a, " + n +
            "; mul.lo.u32 %w" + n + ", %v" + n + ", 3;";
  }
  body += "again: ";
  for (int i = 0; i < 40; ++i)
    body += "mad.lo.u32 %d, %w" + std::to_string(i) + ", " + std::to_string(i) + ", %d;";
  body += "sub.u32 %b, %b, 1; setp.ne.u32 %p, %b, 0; @%p bra again;";
  const auto values = testing::evaluate(body, 4, {{5, 1, 0, 0}, {7, 3, 0, 0}});
  const auto expected = [](u32 a, u32 times) {
    u32 sum = 0;
    for (u32 i = 0; i < 40; ++i) sum += (a + i) * 3 * i;
    return u64{sum * times};
  };
  EXPECT_EQ(values[0], expected(5, 1));
  EXPECT_EQ(values[1], expected(7, 3));
}

TEST(ModuleTest, TheReadmeNamesEveryInstruction) {
  std::ifstream file("tests/ptx/interpreter/README.md");
  std::stringstream text;
  text << file.rdbuf();
  for (const KnownInstruction& known : known_instructions()) {
    EXPECT_CONTAINS(text.str(), "* `" + known.opcode + "` " + known.forms + "\n");
  }
}

}  // namespace
}  // namespace reformer::ptx
