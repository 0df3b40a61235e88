#include "kernels/cpu/thread_pool.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace reformer::cpu {
namespace {

constexpr int kMostThreads = 8;

TEST(ThreadPool, VisitsEachIndexOnce) {
  for (int threads = 1; threads <= kMostThreads; ++threads) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t count : {0, 1, 2, 3, 7, 8, 9, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<size_t>(count) + 1);
      std::atomic<int> strangers = 0;
      pool.parallel_for(count, [&](int64_t index, int thread) {
        if (index < 0 || index >= count || thread < 0 || thread >= threads) {
          ++strangers;
        } else {
          ++visits[static_cast<size_t>(index)];
        }
      });
      EXPECT_EQ(strangers, 0);
      for (int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(visits[static_cast<size_t>(i)], 1) << i << " of " << count;
      }
    }
  }
}

// Plain memory: what a body wrote must be visible to the caller, and to the bodies of the next
// call.
TEST(ThreadPool, CallsFollowEachOther) {
  constexpr int64_t kCalls = 3000;
  for (const int threads : {1, 2, 3, kMostThreads}) {
    ThreadPool pool(threads);
    std::vector<int64_t> counters(11);
    for (int64_t call = 0; call < kCalls; ++call) {
      const int64_t count = call % 12;
      pool.parallel_for(count, [&](int64_t index, int) { ++counters[static_cast<size_t>(index)]; });
    }
    // Index i is visited by calls of more than i indices: 11 − i of every 12.
    for (int64_t i = 0; i < 11; ++i) {
      EXPECT_EQ(counters[static_cast<size_t>(i)], kCalls / 12 * (11 - i)) << i;
    }
  }
}

TEST(ThreadPool, RunsOnAllThreadsAtOnce) {
  for (int threads = 1; threads <= kMostThreads; ++threads) {
    ThreadPool pool(threads);
    std::atomic<int> arrived = 0;
    std::vector<int> served(static_cast<size_t>(threads));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    pool.parallel_for(threads, [&](int64_t, int thread) {
      ++served[static_cast<size_t>(thread)];
      ++arrived;
      // No body ends before all have begun.
      while (arrived < threads && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::yield();
      }
    });
    EXPECT_EQ(served, std::vector<int>(static_cast<size_t>(threads), 1));
  }
}

TEST(ThreadPool, TheCallerRunsASingleTask) {
  ThreadPool pool(3);
  std::thread::id runner;
  int thread_index = -1;
  pool.parallel_for(1, [&](int64_t, int thread) {
    runner = std::this_thread::get_id();
    thread_index = thread;
  });
  EXPECT_EQ(runner, std::this_thread::get_id());
  EXPECT_EQ(thread_index, 0);
}

TEST(ThreadPool, EndsWithoutEverBeingUsed) {
  for (int repeat = 0; repeat < 50; ++repeat) ThreadPool pool(kMostThreads);
}

TEST(ThreadPool, ScratchIsAlignedAndKeepsItsLargestSize) {
  ThreadPool pool(2);
  EXPECT_EQ(pool.scratch_bytes(), 0u);
  float* large = pool.scratch(1, 1000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large) % 64, 0u);
  EXPECT_EQ(pool.scratch_bytes(), 4000u);
  EXPECT_EQ(pool.scratch(1, 10), large);
  EXPECT_EQ(pool.scratch(1, 1000), large);
  EXPECT_EQ(pool.scratch_bytes(), 4000u);
  pool.scratch(1, 1001);
  EXPECT_EQ(pool.scratch_bytes(), 4004u);
  pool.scratch(0, 1);
  EXPECT_EQ(pool.scratch_bytes(), 4008u);
}

TEST(ThreadPool, ThreadsDoNotShareScratch) {
  constexpr size_t kFloats = 513;
  ThreadPool pool(4);
  std::atomic<int> disturbed = 0;
  for (int call = 0; call < 20; ++call) {
    pool.parallel_for(64, [&](int64_t index, int thread) {
      float* scratch = pool.scratch(thread, kFloats);
      const auto mine = static_cast<float>(index);
      for (size_t i = 0; i < kFloats; ++i) scratch[i] = mine;
      std::this_thread::yield();
      for (size_t i = 0; i < kFloats; ++i) disturbed += scratch[i] == mine ? 0 : 1;
    });
  }
  EXPECT_EQ(disturbed, 0);
  std::set<float*> addresses;
  for (int thread = 0; thread < 4; ++thread) addresses.insert(pool.scratch(thread, kFloats));
  EXPECT_EQ(addresses.size(), 4u);
}

TEST(ThreadPoolDeathTest, NeedsAThread) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(ThreadPool(0), "threads >= 1");
}

}  // namespace
}  // namespace reformer::cpu
