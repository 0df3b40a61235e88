#include "tests/ptx/runtime/nan_pages.h"

#include <algorithm>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace reformer::ptx {
namespace {

constexpr size_t kRoom = size_t{64} << 20;

class NanPagesTest : public ::testing::Test {
 protected:
  NanPagesTest()
      : memory_(static_cast<std::byte*>(mmap(nullptr, kRoom, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
  }
  ~NanPagesTest() override { munmap(memory_, kRoom); }

  bool all(size_t begin, size_t end, int value) const {
    return std::all_of(memory_ + begin, memory_ + end,
                       [=](std::byte each) { return each == std::byte(value); });
  }

  std::byte* memory_;
};

TEST_F(NanPagesTest, FillsAndClearsWhatItIsToldAndNothingElse) {
  constexpr size_t kMega = size_t{1} << 20;
  for (const size_t begin : {size_t{0}, size_t{512}, size_t{4096}, size_t{5000}}) {
    for (const size_t bytes : {size_t{0}, size_t{1}, size_t{100}, size_t{5000}, size_t{20'000},
                               kMega, 2 * kMega + 77, 9 * kMega + 4096}) {
      fill_with_nan(memory_ + begin, bytes);
      ASSERT_TRUE(all(0, begin, 0));
      ASSERT_TRUE(all(begin, begin + bytes, 0xff)) << begin << " " << bytes;
      ASSERT_TRUE(all(begin + bytes, begin + bytes + 10'000, 0));
      std::fill_n(memory_ + begin, bytes, std::byte{7});
      fill_with_nan(memory_ + begin, bytes);
      ASSERT_TRUE(all(begin, begin + bytes, 0xff));
      clear_pages(memory_ + begin, bytes);
      ASSERT_TRUE(all(0, begin + bytes + 10'000, 0)) << begin << " " << bytes;
    }
  }
}

/// Pages of this process that are in memory.
size_t resident_pages() {
  std::ifstream file("/proc/self/statm");
  size_t size = 0;
  size_t resident = 0;
  file >> size >> resident;
  return resident;
}

TEST_F(NanPagesTest, UntouchedMemoryCostsNothing) {
  fill_with_nan(memory_, kRoom);
  const size_t before = resident_pages();
  fill_with_nan(memory_, kRoom);
  EXPECT_LT(resident_pages(), before + 1000);  // of 16,384
  memory_[kRoom / 2] = std::byte{1};
  EXPECT_TRUE(all(kRoom / 2 + 1, kRoom / 2 + 5000, 0xff));
}

}  // namespace
}  // namespace reformer::ptx
