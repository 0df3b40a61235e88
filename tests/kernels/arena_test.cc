#include "kernels/core/arena.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

MemoryUsage usage(std::initializer_list<std::pair<MemoryUse, size_t>> bytes) {
  MemoryUsage result{};
  for (const auto& [use, size] : bytes) result[static_cast<size_t>(use)] = size;
  return result;
}

class ArenaTest : public ::testing::Test {
 protected:
  View bytes(int64_t count, MemoryUse use = MemoryUse::kBlock) {
    return arena_.allocate(DType::kUint8, {count}, use);
  }
  static uintptr_t address(const View& view) { return reinterpret_cast<uintptr_t>(view.raw()); }

  alignas(256) std::array<std::byte, 4096> memory_;
  Arena arena_{memory_.data(), memory_.size()};
};

TEST_F(ArenaTest, HandsOutAlignedMemoryFromTheLowEnd) {
  const View first = arena_.allocate(DType::kFloat32, {3, 5}, MemoryUse::kParameters);
  EXPECT_EQ(first.raw(), memory_.data());
  EXPECT_EQ(first.dtype(), DType::kFloat32);
  EXPECT_EQ(first.shape(), (Shape{3, 5}));
  const View second = arena_.allocate(DType::kInt64, {33}, MemoryUse::kGradients);
  EXPECT_EQ(address(second), address(first) + 256);
  const View third = bytes(1);
  EXPECT_EQ(address(third), address(second) + 512);
  EXPECT_EQ(arena_.used(), 1024u);
  EXPECT_EQ(arena_.capacity(), 4096u);
  std::memset(second.raw(), 1, second.bytes());
}

TEST_F(ArenaTest, NoElementsTakeNoMemory) {
  const View empty = bytes(0);
  EXPECT_TRUE(empty.defined());
  EXPECT_EQ(arena_.used(), 0u);
}

TEST_F(ArenaTest, MarksNest) {
  const View kept = bytes(256);
  {
    Arena::Mark outer(arena_);
    const View block = bytes(512);
    {
      Arena::Mark inner(arena_);
      bytes(1024);
      EXPECT_EQ(arena_.used(), 1792u);
    }
    EXPECT_EQ(arena_.used(), 768u);
    const View next = bytes(10);
    EXPECT_EQ(address(next), address(block) + 512);
  }
  EXPECT_EQ(arena_.used(), 256u);
  EXPECT_EQ(address(bytes(1)), address(kept) + 256);
}

TEST_F(ArenaTest, AnEmptyMarkGivesBackNothing) {
  bytes(300);
  { Arena::Mark mark(arena_); }
  EXPECT_EQ(arena_.used(), 512u);
}

TEST_F(ArenaTest, KeepsThePeakAndItsUsage) {
  EXPECT_EQ(arena_.peak(), 0u);
  EXPECT_EQ(arena_.usage_at_peak(), MemoryUsage{});
  bytes(256, MemoryUse::kParameters);
  {
    Arena::Mark mark(arena_);
    bytes(100, MemoryUse::kStreams);
    bytes(600, MemoryUse::kBlock);
    bytes(600, MemoryUse::kBlock);
  }
  const MemoryUsage at_peak =
      usage({{MemoryUse::kParameters, 256}, {MemoryUse::kStreams, 256}, {MemoryUse::kBlock, 1536}});
  EXPECT_EQ(arena_.peak(), 2048u);
  EXPECT_EQ(arena_.usage_at_peak(), at_peak);

  // Less than the peak changes nothing, …
  bytes(1000, MemoryUse::kOptimizer);
  EXPECT_EQ(arena_.peak(), 2048u);
  EXPECT_EQ(arena_.usage_at_peak(), at_peak);
  // … more is a new one, without what the mark gave back.
  bytes(1024, MemoryUse::kSlots);
  EXPECT_EQ(arena_.peak(), 2304u);
  EXPECT_EQ(arena_.usage_at_peak(), usage({{MemoryUse::kParameters, 256},
                                           {MemoryUse::kOptimizer, 1024},
                                           {MemoryUse::kSlots, 1024}}));
}

TEST(ArenaUsageTest, AddsUpToThePeak) {
  Arena arena(nullptr, 1 << 20);
  for (int use = 0; use < kMemoryUses; ++use)
    arena.allocate(DType::kUint8, {1 + 256 * (use % 3)}, static_cast<MemoryUse>(use));
  size_t sum = 0;
  for (const size_t part : arena.usage_at_peak()) sum += part;
  EXPECT_EQ(sum, arena.peak());
  EXPECT_EQ(arena.usage_at_peak()[static_cast<size_t>(MemoryUse::kOptimizer)], 3u * 256);
}

TEST_F(ArenaTest, ThrowsWhenFullAndGoesOn) {
  bytes(3840);
  try {
    bytes(257, MemoryUse::kStored);
    FAIL() << "must not fit";
  } catch (const DeviceError& error) {
    const std::string message = error.what();
    for (const char* part : {"512", "stored activations", "3840", "4096"}) {
      EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
    }
  }
  EXPECT_EQ(arena_.used(), 3840u);
  EXPECT_EQ(arena_.peak(), 3840u);
  const View last = bytes(256);
  EXPECT_EQ(address(last) + last.bytes(), address(View(memory_.data(), DType::kUint8, {})) + 4096);
  EXPECT_THROW(bytes(1), DeviceError);
  EXPECT_NO_THROW(bytes(0));
}

TEST_F(ArenaTest, AnExceptionUnwindsItsMarks) {
  const auto use_too_much = [&] {
    Arena::Mark mark(arena_);
    bytes(1024);
    bytes(4096);
  };
  EXPECT_THROW(use_too_much(), DeviceError);
  EXPECT_EQ(arena_.used(), 0u);
}

TEST(Arena, ReleasesItsMemoryOnce) {
  int releases = 0;
  {
    std::array<std::byte, 256> memory;
    Arena arena(memory.data(), memory.size(), [&] { ++releases; });
    Arena::Mark mark(arena);
    EXPECT_EQ(releases, 0);
  }
  EXPECT_EQ(releases, 1);
}

TEST(Arena, PlanningCountsWithoutMemory) {
  constexpr size_t kCapacity = size_t{1} << 60;
  Arena arena(nullptr, kCapacity);
  const View first = arena.allocate(DType::kFloat32, {1 << 20, 1 << 20}, MemoryUse::kParameters);
  const View second = arena.allocate(DType::kInt64, {1}, MemoryUse::kGradients);
  EXPECT_TRUE(first.defined() && is_planned(first));
  EXPECT_TRUE(second.defined() && is_planned(second));
  EXPECT_FALSE(is_planned(View()) || is_planned(Tensor(DType::kUint8, {1}).view()));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first.raw()) % 256, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(second.raw()) - reinterpret_cast<uintptr_t>(first.raw()),
            size_t{1} << 42);
  EXPECT_EQ(arena.peak(), (size_t{1} << 42) + 256);
  EXPECT_EQ(arena.usage_at_peak(),
            usage({{MemoryUse::kParameters, size_t{1} << 42}, {MemoryUse::kGradients, 256}}));
  EXPECT_THROW(arena.allocate(DType::kUint8, {int64_t{1} << 60}, MemoryUse::kBlock), DeviceError);
}

TEST(Arena, EveryUseHasAName) {
  for (int use = 0; use < kMemoryUses; ++use) {
    EXPECT_NE(name_of(static_cast<MemoryUse>(use)), "?");
    for (int other = 0; other < use; ++other) {
      EXPECT_NE(name_of(static_cast<MemoryUse>(use)), name_of(static_cast<MemoryUse>(other)));
    }
  }
}

}  // namespace
}  // namespace reformer
