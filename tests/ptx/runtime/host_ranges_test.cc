#include "tests/ptx/runtime/host_ranges.h"

#include <gtest/gtest.h>

namespace reformer::ptx {
namespace {

TEST(HostRanges, FindsWhatIsAllocated) {
  HostRanges ranges;
  std::byte* const memory = ranges.allocate(100, HostKind::kPinned);
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(memory[99], std::byte{0xff});
  EXPECT_EQ(ranges.find(memory + 99).value().begin, memory);
  EXPECT_FALSE(ranges.find(memory + 100));
  EXPECT_FALSE(ranges.find(memory - 1));
  EXPECT_FALSE(ranges.remove(memory, HostKind::kManaged));
  EXPECT_FALSE(ranges.remove(memory + 1, HostKind::kPinned));
  EXPECT_TRUE(ranges.remove(memory, HostKind::kPinned));
  EXPECT_FALSE(ranges.find(memory));
}

TEST(HostRanges, RegistersWhatDoesNotOverlap) {
  HostRanges ranges;
  std::byte memory[100];
  const auto range = [&](size_t begin, size_t bytes) {
    return HostRange{.begin = memory + begin, .bytes = bytes, .kind = HostKind::kRegistered};
  };
  EXPECT_TRUE(ranges.add(range(20, 20)));
  EXPECT_FALSE(ranges.add(range(39, 10)));
  EXPECT_FALSE(ranges.add(range(10, 11)));
  EXPECT_FALSE(ranges.add(range(20, 20)));
  EXPECT_TRUE(ranges.add(range(40, 10)));
  EXPECT_TRUE(ranges.add(range(10, 10)));
  EXPECT_TRUE(ranges.remove(memory + 20, HostKind::kRegistered));
  EXPECT_TRUE(ranges.add(range(20, 20)));
}

}  // namespace
}  // namespace reformer::ptx
