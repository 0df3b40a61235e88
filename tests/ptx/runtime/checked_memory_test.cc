#include "tests/ptx/runtime/checked_memory.h"

#include <cstring>
#include <functional>
#include <string>

#include <gtest/gtest.h>

namespace reformer::ptx {
namespace {

std::string complaint(const std::function<void()>& access) {
  try {
    access();
  } catch (const AccessError& error) {
    return error.what();
  }
  return "";
}

class CheckedMemoryTest : public ::testing::Test {
 protected:
  std::byte* allocate(size_t bytes, int device = 0) {
    return reinterpret_cast<std::byte*>(memory_.heap().allocate(device, bytes).value());
  }
  static DeviceAddress address(const void* pointer) {
    return reinterpret_cast<DeviceAddress>(pointer);
  }

  CheckedMemory memory_{2, size_t{1} << 30, true};
};

TEST_F(CheckedMemoryTest, CopiesThereAndBack) {
  std::byte* const device = allocate(8);
  std::byte* const other = allocate(8);
  const char text[] = "1234567";
  char result[8] = {};
  memory_.copy(device, text, 8);
  memory_.copy(other, device, 8);
  memory_.copy(result, other, 8);
  EXPECT_STREQ(result, text);
}

TEST_F(CheckedMemoryTest, OnlyWrittenBytesReachTheHost) {
  std::byte* const device = allocate(64);
  std::byte* const other = allocate(64);
  char result[64];
  memory_.set(device, 1, 16);
  memory_.copy(result, device, 16);
  EXPECT_NE(complaint([&] { memory_.copy(result, device, 17); }).find("from byte 16 of 17"),
            std::string::npos);
  // A copy between devices takes along what was not written.
  memory_.copy(other, device, 64);
  memory_.copy(result, other, 16);
  EXPECT_NE(complaint([&] { memory_.copy(result, other + 8, 16); }), "");

  CheckedMemory lax(1, 1 << 20, false);
  auto* const unwritten = reinterpret_cast<std::byte*>(lax.heap().allocate(0, 64).value());
  EXPECT_EQ(complaint([&] { lax.copy(result, unwritten, 64); }), "");
  EXPECT_NE(complaint([&] { lax.access(unwritten, 64, Access::kRead); }), "");
}

TEST_F(CheckedMemoryTest, AccessChecksAndMarks) {
  std::byte* const device = allocate(64);
  EXPECT_NE(complaint([&] { memory_.access(device, 4, Access::kRead); }).find("never written"),
            std::string::npos);
  memory_.access(device, 4, Access::kWrite);
  EXPECT_EQ(complaint([&] { memory_.access(device, 4, Access::kRead); }), "");
  EXPECT_NE(complaint([&] { memory_.access(device + 62, 4, Access::kWrite); }).find("bounds"),
            std::string::npos);
  EXPECT_EQ(complaint([&] { memory_.access(nullptr, 4, Access::kRead); }), "null pointer");
  char plain[4];
  EXPECT_NE(complaint([&] { memory_.access(plain, 4, Access::kRead); }), "");
  std::byte* const pinned = memory_.hosts().allocate(16, HostKind::kPinned);
  EXPECT_EQ(memory_.access(pinned + 4, 12, Access::kRead), pinned + 4);
  EXPECT_NE(complaint([&] { memory_.access(pinned + 4, 13, Access::kRead); }).find("by 1 bytes"),
            std::string::npos);
  EXPECT_TRUE(memory_.hosts().remove(pinned, HostKind::kPinned));
}

TEST_F(CheckedMemoryTest, PeersMustBeEnabled) {
  std::byte* const device = allocate(64, 1);
  EXPECT_NE(complaint([&] { memory_.find(0, address(device), 4); }).find("PeerAccess"),
            std::string::npos);
  EXPECT_EQ(complaint([&] { memory_.find(1, address(device), 4); }), "");
  EXPECT_TRUE(memory_.enable_peer(0, 1));
  EXPECT_FALSE(memory_.enable_peer(0, 1));
  EXPECT_EQ(complaint([&] { memory_.find(0, address(device), 4); }), "");
}

TEST_F(CheckedMemoryTest, VariablesAreZeroAndWritten) {
  DeviceView view(memory_, 1);
  const Allocation variable = view.allocate_variable("table", 16, 8);
  EXPECT_EQ(variable.host[15], std::byte{0});
  EXPECT_EQ(variable.written[15], 1);
  EXPECT_FALSE(view.refused());
  EXPECT_NE(complaint([&] { view.find(variable.end, 1, Access::kRead); }).find("variable table"),
            std::string::npos);
  EXPECT_TRUE(view.refused());
}

}  // namespace
}  // namespace reformer::ptx
