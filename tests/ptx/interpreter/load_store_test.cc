// Loads and stores of every size and space, and the faults of global and local memory
// (memory_access.cc).
#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::evaluate;
using testing::kernel_around;
using testing::kHeader;
using testing::Row;

const std::vector<Row> kOne = {{0x8182838485868788, 0x1122334455667788, 0, 0}};

TEST(LoadStoreTest, ExtendsToTheRegister) {
  const auto loaded = [](const std::string& type, const std::string& to, std::size_t bytes) {
    return evaluate("ld.global." + type + " " + to + ", [%in];", bytes, kOne)[0];
  };
  EXPECT_EQ(loaded("u8", "%d", 4), 0x88U);
  EXPECT_EQ(loaded("s8", "%d", 4), 0xffffff88U);
  EXPECT_EQ(loaded("s8", "%hd", 2), 0xff88U);
  EXPECT_EQ(loaded("s8", "%D", 8), 0xffffffffffffff88U);
  EXPECT_EQ(loaded("b16", "%d", 4), 0x8788U);
  EXPECT_EQ(loaded("s16", "%d", 4), 0xffff8788U);
  EXPECT_EQ(loaded("s32", "%D", 8), 0xffffffff85868788U);
  EXPECT_EQ(loaded("u32", "%D", 8), 0x85868788U);
  EXPECT_EQ(loaded("b64", "%D", 8), 0x8182838485868788U);
}

TEST(LoadStoreTest, MovesVectors) {
  EXPECT_EQ(evaluate("ld.global.v4.u16 {%ha, %hb, _, %hd}, [%in];", 2, kOne)[0], 0x8182U);
  EXPECT_EQ(evaluate("ld.global.v4.u8 {%a, %b, %c, %d}, [%in+4];", 4, kOne)[0], 0x81U);
  EXPECT_EQ(evaluate("ld.global.nc.L1::no_allocate.v4.u32 {%x0, %x1, %x2, %d}, [%in];", 4, kOne)[0],
            0x11223344U);
  const std::string through =
      ".shared .align 16 .b8 s[16];"
      "st.shared.v4.u32 [s], {%a, %b, %c, 7};"
      "ld.shared.v2.u64 {%X0, %D}, [s];";
  EXPECT_EQ(evaluate(through, 8, {{1, 2, 3, 0}})[0], (u64{7} << 32) | 3);
  EXPECT_EQ(evaluate("st.global.v2.u8 [%out], {%a, %b}; ld.global.u16 %D, [%out];", 8,
                     {{0x112, 0x334, 0, 0}})[0],
            0x3412U);
}

TEST(LoadStoreTest, GenericAddressesReachEveryKindOfMemory) {
  const std::string local =
      ".local .align 8 .b8 l[32]; mov.u64 %X0, l; cvta.local.u64 %X1, %X0;"
      "st.u32 [%X1+8], %a; ld.local.u32 %d, [l+8];";
  EXPECT_EQ(evaluate(local, 4, {{7, 0, 0, 0}, {8, 0, 0, 0}}), (std::vector<u64>{7, 8}));
  EXPECT_EQ(evaluate("ld.u32 %d, [%in];", 4, kOne)[0], 0x85868788U);
  // Lanes of one instruction in different memories.
  const std::string mixed =
      ".shared .align 8 .b8 s[8]; mov.u64 %X0, s; cvta.shared.u64 %X0, %X0;"
      "and.b32 %x0, %t, 1; setp.eq.u32 %p, %x0, 1;"
      "@!%p st.u32 [%X0], 99; selp.b64 %X1, %in, %X0, %p; ld.u32 %d, [%X1];";
  EXPECT_EQ(evaluate(mixed, 4, {{5, 0, 0, 0}, {6, 0, 0, 0}, {7, 0, 0, 0}}),
            (std::vector<u64>{99, 6, 99}));
}

TEST(LoadStoreTest, ReadsParameters) {
  const std::string text = std::string(kHeader) + R"(
.visible .entry k(.param .align 8 .b8 s[24], .param .u64 out)
{
  .reg .b32 %r<4>;
  .reg .b64 %rd<6>;
  .reg .b16 %h<3>;
  ld.param.u64 %rd1, [out];
  ld.param.s8 %r1, [s+3];
  ld.param.v2.u32 {%r2, %r3}, [s+8];
  mov.b64 %rd2, s;
  add.s64 %rd2, %rd2, 16;
  ld.param.u64 %rd3, [%rd2];
  st.global.u32 [%rd1], %r1;
  st.global.u32 [%rd1+4], %r3;
  st.global.u64 [%rd1+8], %rd3;
  ret;
})";
  Device device(text);
  const DeviceAddress out = device.memory.allocate(16);
  const u64 structure[3] = {0xfe000000, 0x0000000500000004, 77};
  const std::vector<const void*> arguments = {structure, &out};
  launch(device.module.kernel("k"), {.block = {32}}, arguments, device.memory);
  EXPECT_EQ(device.memory.read<u64>(out, 2), (std::vector<u64>{0x00000005fffffffe, 77}));
}

// A kernel that does `code` with an address in %in.
std::string fault_of(const std::string& code, std::size_t bytes = 64, bool written = true,
                     const LaunchOptions& options = {}) {
  Device device(std::string(kHeader) + R"(
.visible .entry _Z5scalePfi(.param .u64 in)
{
  .reg .pred %p;
  .reg .b32 %a, %b, %t;
  .reg .b64 %in, %X, %Y;
  ld.param.u64 %in, [in];
  mov.u32 %t, %tid.x;
  mad.wide.u32 %X, %t, 4, %in;
  )" + code + "\n  ret;\n}\n");
  const DeviceAddress in =
      written ? device.memory.allocate(std::vector<u8>(bytes, 1)) : device.memory.allocate(bytes);
  return device.fault("_Z5scalePfi", {.grid = {2}, .block = {16}}, {in}, options);
}

TEST(MemoryAccessTest, FaultsSayWhatWhereAndWho) {
  EXPECT_EQ(fault_of("ld.global.u32 %a, [%X];"), "");
  EXPECT_EQ(
      fault_of("ld.global.u32   %a,\n [%X+4];"),
      "out of bounds by 4 bytes of an allocation of 64 bytes (read of 4 bytes at "
      "0x700000000040): scale(float*, int), line 13 `ld.global.u32 %a, [%X+4]`, block (0,0,0), "
      "thread (15,0,0)");
  EXPECT_CONTAINS(fault_of("st.global.u32 [%X+-4], %t;"), "not in device memory (write of 4 bytes");
  EXPECT_CONTAINS(fault_of("atom.global.add.u32 %a, [%X+4], 1;"), "(atomic of 4 bytes");
  EXPECT_CONTAINS(fault_of("ld.global.u32 %a, [%X+2];", 128), "misaligned read of 4 bytes at 0x7");
  EXPECT_CONTAINS(fault_of("ld.global.v2.u32 {%a, %b}, [%X];", 128), "misaligned read of 8 bytes");
  EXPECT_CONTAINS(fault_of("ld.global.u32 %a, [0];"),
                  "not in device memory (read of 4 bytes at 0x0)");
}

TEST(MemoryAccessTest, FreedMemoryIsOutOfBounds) {
  Device device(kernel_around("", 8));
  const DeviceAddress in = device.memory.allocate(std::vector<Row>(32));
  const DeviceAddress out = device.memory.allocate(32 * 8);
  EXPECT_EQ(device.fault("k", {.block = {32}}, {in, out}), "");
  device.memory.free(in);
  EXPECT_CONTAINS(device.fault("k", {.block = {32}}, {in, out}),
                  "use after free of an allocation of 1024 bytes (read of 16 bytes");
}

TEST(MemoryAccessTest, MemoryThatNobodyWroteIsNotRead) {
  const std::string reason =
      "read of 4 bytes that were never written, at 0x700000000004, offset 4 of "
      "an allocation of 64 bytes";
  EXPECT_CONTAINS(fault_of("ld.global.u32 %a, [%X+4]; ", 64, false), reason);
  EXPECT_EQ(fault_of("ld.global.u32 %a, [%X];", 64, false, {.unwritten_global = false}), "");
  EXPECT_CONTAINS(fault_of("atom.global.add.u32 %a, [%X+4], 1;", 64, false), reason);
  EXPECT_EQ(fault_of("st.global.u32 [%X], 1; ld.global.u32 %a, [%X];", 64, false), "");
  EXPECT_CONTAINS(fault_of("st.global.u16 [%X], 1; ld.global.u32 %a, [%X];", 64, false),
                  "never written, at 0x700000000000");
  EXPECT_CONTAINS(fault_of("st.global.u32 [%X], 1; setp.lt.u32 %p, %t, 8;"
                           "@%p mad.wide.u32 %X, %t, 8, %in; @%p ld.global.u64 %Y, [%X+8];",
                           128, false),
                  "read of 8 bytes that were never written, at 0x700000000040");
}

TEST(MemoryAccessTest, LocalMemoryHasItsBounds) {
  const std::string local = ".local .align 8 .b8 l[32]; mov.u64 %Y, l; ";
  EXPECT_EQ(fault_of(local + "st.local.u32 [%Y+28], %t;"), "");
  EXPECT_CONTAINS(fault_of(local + "st.local.u32 [%Y+32], %t;"),
                  "out of bounds of local memory of 32 bytes (write of 4 bytes at offset 32)");
  EXPECT_CONTAINS(fault_of(local + "st.local.u32 [%Y+-4], %t;"), "an address that is nowhere");
  EXPECT_CONTAINS(fault_of(local + "ld.local.u32 %a, [%Y+2];"), "misaligned read of 4 bytes");
}

TEST(MemoryAccessTest, SharedMemoryHasItsBounds) {
  const std::string shared = ".shared .align 8 .b8 s[64]; mov.u64 %Y, s; ";
  EXPECT_CONTAINS(fault_of(shared + "st.shared.u32 [%Y+64], %t;"),
                  "out of bounds of shared memory of 64 bytes (write of 4 bytes at offset 64)");
  EXPECT_CONTAINS(fault_of(shared + "cvta.shared.u64 %Y, %Y; st.u32 [%Y+64], %t;"),
                  "out of bounds of shared memory");
  EXPECT_CONTAINS(fault_of(shared + "ld.shared.u32 %a, [%Y+2];"), "misaligned read of 4 bytes");
}

}  // namespace
}  // namespace reformer::ptx
