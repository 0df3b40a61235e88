#include "tests/ptx/runtime/device_heap.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <set>

#include <gtest/gtest.h>

namespace reformer::ptx {
namespace {

constexpr size_t kCapacity = size_t{1} << 30;

/// What an AccessError says.
std::string complaint(const std::function<void()>& access) {
  try {
    access();
  } catch (const AccessError& error) {
    return error.what();
  }
  return "";
}

TEST(DeviceHeap, NewMemoryIsNanAndUnwritten) {
  DeviceHeap heap(1, kCapacity);
  const DeviceAddress begin = heap.allocate(0, 8192).value();
  EXPECT_EQ(begin % 512, 0u);
  const Allocation found = heap.find(begin, 8192);
  EXPECT_EQ(found.begin, begin);
  EXPECT_EQ(found.end, begin + 8192);
  float value;
  std::memcpy(&value, found.host + 8188, sizeof value);
  EXPECT_TRUE(std::isnan(value));
  EXPECT_EQ(found.written[0], 0);
  EXPECT_EQ(found.written[8191], 0);
}

TEST(DeviceHeap, NamesTheAllocationThatIsMissed) {
  DeviceHeap heap(2, kCapacity);
  const DeviceAddress first = heap.allocate(0, 1024).value();
  const DeviceAddress second = heap.allocate(1, 100'000, "table").value();
  EXPECT_EQ(complaint([&] { heap.find(first + 1020, 8); }),
            "out of bounds by 4 bytes of allocation #1 of 1,024 bytes");
  EXPECT_EQ(complaint([&] { heap.find(first + 1024, 4); }),
            "out of bounds by 4 bytes of allocation #1 of 1,024 bytes");
  EXPECT_EQ(complaint([&] { heap.find(second + 100'000, 1); }),
            "out of bounds by 1 bytes of the variable table of 100,000 bytes on device 1");
  EXPECT_EQ(complaint([&] { heap.find(second + (1 << 20), 1); }), "no allocation there");
  heap.free(first);
  EXPECT_EQ(complaint([&] { heap.find(first + 8, 4); }),
            "use after free of allocation #1 of 1,024 bytes");
  EXPECT_EQ(
      complaint([&] { heap.free(first); }),
      "free of what is not the beginning of an allocation: use after free of allocation #1 of "
      "1,024 bytes");
  EXPECT_NE(complaint([&] { heap.free(second + 1); }), "");
  EXPECT_NE(complaint([&] { heap.find(second - 4, 4); }).find("before"), std::string::npos);
}

TEST(DeviceHeap, FreedAddressesRest) {
  DeviceHeap heap(1, kCapacity);
  std::set<DeviceAddress> seen;
  for (int i = 0; i < 1000; ++i) {
    const DeviceAddress begin = heap.allocate(0, 4096).value();
    EXPECT_TRUE(seen.insert(begin).second);
    heap.free(begin);
  }
}

TEST(DeviceHeap, ReusedMemoryIsUnwrittenAgain) {
  DeviceHeap heap(1, kCapacity, size_t{1} << 20);
  const DeviceAddress kept = heap.allocate(0, 1000).value();
  std::set<DeviceAddress> seen;
  for (int i = 0; i < 1000; ++i) {
    const DeviceAddress begin = heap.allocate(0, 40'000).value();
    EXPECT_TRUE(begin + 40'000 <= kept || begin >= kept + 1000);
    const Allocation found = heap.find(begin, 40'000);
    for (const size_t at : {size_t{0}, size_t{1}, size_t{5000}, size_t{39'999}}) {
      ASSERT_EQ(found.written[at], 0);
      found.written[at] = 1;
      ASSERT_EQ(found.host[at], std::byte{0xff});
      found.host[at] = std::byte{1};
    }
    heap.free(begin);
    seen.insert(begin);
  }
  EXPECT_GT(seen.size(), 20u);
  EXPECT_LT(seen.size(), 60u);
  heap.find(kept, 1000);
}

TEST(DeviceHeap, KeepsToItsCapacity) {
  DeviceHeap heap(2, 10'000);
  const DeviceAddress begin = heap.allocate(0, 6'000).value();
  EXPECT_FALSE(heap.allocate(0, 6'000));
  EXPECT_TRUE(heap.allocate(1, 6'000));
  EXPECT_EQ(heap.used(0), 6'000u);
  heap.free(begin);
  EXPECT_EQ(heap.used(0), 0u);
  EXPECT_TRUE(heap.allocate(0, 10'000));
}

TEST(DeviceHeap, StreamOrderedMemoryIsUsableLater) {
  DeviceHeap heap(1, kCapacity);
  const DeviceAddress begin = heap.allocate(0, 64, "", false).value();
  EXPECT_NE(complaint([&] { heap.find(begin, 4); }).find("before its cudaMallocAsync"),
            std::string::npos);
  EXPECT_EQ(complaint([&] { heap.check_allocated(begin, 64); }), "");
  heap.make_usable(begin);
  EXPECT_EQ(complaint([&] { heap.find(begin, 4); }), "");
}

using DeviceHeapDeathTest = ::testing::Test;

TEST(DeviceHeapDeathTest, HostCannotTouchIt) {
  DeviceHeap heap(1, kCapacity);
  const DeviceAddress begin = heap.allocate(0, 64).value();
  EXPECT_DEATH(*reinterpret_cast<volatile int*>(begin) = 1, "");
}

TEST(DeviceHeap, DescribesAddresses) {
  DeviceHeap heap(1, kCapacity);
  const DeviceAddress begin = heap.allocate(0, 64).value();
  EXPECT_EQ(heap.describe(begin + 3), "allocation #1 of 64 bytes");
  heap.free(begin);
  EXPECT_EQ(heap.describe(begin + 3), "use after free of allocation #1 of 64 bytes");
}

}  // namespace
}  // namespace reformer::ptx
