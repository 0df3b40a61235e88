#include "tests/ptx/runtime/stream_queue.h"

#include <atomic>
#include <set>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace reformer::ptx {
namespace {

using std::chrono::milliseconds;

constexpr QueueOrder kOrders[] = {QueueOrder::kLate, QueueOrder::kEager, QueueOrder::kRandom};

/// Nothing runs unasked while a test lasts.
QueueSettings patient(QueueOrder order, uint64_t seed = 1) {
  return {.order = order, .seed = seed, .idle = std::chrono::hours(1)};
}

/// Appends a letter to a text.
Step append(std::string& text, char letter) {
  return [&text, letter]() -> StepResult {
    text += letter;
    return {};
  };
}

TEST(StreamQueue, LateRunsOnlyWhatTheWaitNeeds) {
  StreamQueue queue(patient(QueueOrder::kLate));
  Stream* const first = queue.create_stream(0, false);
  Stream* const second = queue.create_stream(0, false);
  std::string log;
  queue.push(first, append(log, 'a'));
  const OperationRef event = queue.push(first, append(log, 'b'));
  queue.push(first, append(log, 'c'));
  queue.push(second, append(log, 'd'));
  queue.push(second, append(log, 'e'), event);
  EXPECT_EQ(log, "");
  queue.wait(queue.last(second));
  EXPECT_EQ(log, "abde");
  queue.wait_device(0);
  EXPECT_EQ(log, "abdec");
}

TEST(StreamQueue, LateTakesTheNewestOfADeviceFirst) {
  StreamQueue queue(patient(QueueOrder::kLate));
  std::string log;
  const OperationRef event = queue.push(queue.create_stream(0, false), append(log, 'a'));
  queue.push(queue.create_stream(0, false), append(log, 'b'));
  queue.push(queue.create_stream(0, false), append(log, 'c'), event);
  queue.wait_device(0);
  EXPECT_EQ(log, "acb");
}

TEST(StreamQueue, EagerRunsAtOnce) {
  StreamQueue queue(patient(QueueOrder::kEager));
  Stream* const stream = queue.create_stream(0, false);
  std::string log;
  for (const char letter : {'a', 'b', 'c'}) queue.push(stream, append(log, letter));
  EXPECT_EQ(log, "abc");
}

TEST(StreamQueue, RandomTakesEveryOrderThatIsAllowedAndNoOther) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    StreamQueue queue(patient(QueueOrder::kRandom, seed));
    Stream* const first = queue.create_stream(0, false);
    Stream* const second = queue.create_stream(0, false);
    std::string log;
    const OperationRef event = queue.push(first, append(log, 'a'));
    queue.push(first, append(log, 'b'));
    queue.push(second, append(log, 'c'));
    queue.push(second, append(log, 'd'), event);
    queue.wait_device(0);
    seen.insert(log);
  }
  // ab and cd in order, a before d.
  EXPECT_EQ(seen, (std::set<std::string>{"abcd", "acbd", "acdb", "cabd", "cadb"}));
}

TEST(StreamQueue, RandomRunsSomethingBeforeTheHostWaits) {
  int early = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    StreamQueue queue(patient(QueueOrder::kRandom, seed));
    std::string log;
    queue.push(queue.default_stream(0), append(log, 'a'));
    early += log == "a";
  }
  EXPECT_GT(early, 5);
  EXPECT_LT(early, 60);
}

TEST(StreamQueue, SameSeedSameOrder) {
  const auto order = [](uint64_t seed) {
    StreamQueue queue(patient(QueueOrder::kRandom, seed));
    std::string log;
    for (char letter = 'a'; letter <= 'h'; ++letter) {
      queue.push(queue.create_stream(0, false), append(log, letter));
    }
    queue.wait_device(0);
    return log;
  };
  EXPECT_EQ(order(7), order(7));
  EXPECT_NE(order(7), order(8));
}

TEST(StreamQueue, DefaultStreamFollowsBlockingStreamsAndTheyFollowIt) {
  for (const QueueOrder order : kOrders) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      StreamQueue queue(patient(order, seed));
      Stream* const blocking = queue.create_stream(0, true);
      Stream* const other = queue.create_stream(0, true);
      std::string log;
      queue.push(blocking, append(log, 'a'));
      queue.push(queue.default_stream(0), append(log, 'b'));
      queue.push(other, append(log, 'c'));
      queue.wait(queue.last(other));
      EXPECT_EQ(log, "abc");
    }
  }
}

TEST(StreamQueue, NonBlockingStreamsDoNotFollowTheDefaultStream) {
  StreamQueue queue(patient(QueueOrder::kLate));
  Stream* const stream = queue.create_stream(0, false);
  std::string log;
  queue.push(queue.default_stream(0), append(log, 'a'));
  queue.push(stream, append(log, 'b'));
  queue.wait(queue.last(stream));
  EXPECT_EQ(log, "b");
}

TEST(StreamQueue, DestroyedStreamsFinishTheirWork) {
  StreamQueue queue(patient(QueueOrder::kLate));
  Stream* const stream = queue.create_stream(0, true);
  std::string log;
  queue.push(stream, append(log, 'a'));
  EXPECT_TRUE(queue.is_stream(stream));
  queue.destroy_stream(stream);
  EXPECT_FALSE(queue.is_stream(stream));
  queue.push(queue.default_stream(0), append(log, 'b'));
  queue.wait(queue.last(queue.default_stream(0)));
  EXPECT_EQ(log, "ab");
}

TEST(StreamQueue, PollMakesProgress) {
  for (const QueueOrder order : kOrders) {
    StreamQueue queue(patient(order));
    std::string log;
    for (const char letter : {'a', 'b', 'c'}) {
      queue.push(queue.default_stream(0), append(log, letter));
    }
    const OperationRef last = queue.last(queue.default_stream(0));
    int polls = 1;
    while (!queue.poll(last)) ++polls;
    EXPECT_LE(polls, 3);
    EXPECT_EQ(log, "abc");
    EXPECT_TRUE(queue.finished_at(last));
  }
}

TEST(StreamQueue, LatePollsRunOnlyWhatTheyNeed) {
  StreamQueue queue(patient(QueueOrder::kLate));
  Stream* const first = queue.create_stream(0, false);
  Stream* const second = queue.create_stream(0, false);
  std::string log;
  bool ready = false;
  queue.push(first, append(log, 'a'));
  queue.push(second, [&ready]() -> StepResult { return {.finished = ready}; });
  const OperationRef last = queue.push(second, append(log, 'b'));
  EXPECT_FALSE(queue.poll(last));
  EXPECT_EQ(log, "");
  std::this_thread::sleep_for(milliseconds(5));
  EXPECT_FALSE(queue.poll(last));  // stalled: the other stream has its turn
  EXPECT_EQ(log, "a");
  ready = true;
  EXPECT_FALSE(queue.poll(last));
  EXPECT_TRUE(queue.poll(last));
  EXPECT_EQ(log, "ab");
}

// A step that is not ready is called again, while other streams proceed: here until they have.
TEST(StreamQueue, StepsMayNeedOtherStreams) {
  for (const QueueOrder order : kOrders) {
    StreamQueue queue(patient(order));
    int arrived = 0;
    const auto meet = [&arrived, here = false]() mutable -> StepResult {
      if (!here) ++arrived;
      here = true;
      return {.finished = arrived == 3};
    };
    Stream* streams[3];
    for (Stream*& stream : streams) {
      stream = queue.create_stream(0, false);
      queue.push(stream, meet);
    }
    queue.wait(queue.last(streams[0]));
    EXPECT_EQ(arrived, 3);
    while (!queue.poll(queue.last(streams[1]))) {
    }
    queue.wait(queue.last(streams[2]));
  }
}

TEST(StreamQueue, ErrorsDropTheWorkOfTheirDeviceAlone) {
  StreamQueue queue(patient(QueueOrder::kLate), 2);
  std::string log;
  queue.push(queue.default_stream(0), []() -> StepResult { return {.error = 7}; });
  queue.push(queue.default_stream(0), append(log, 'a'));
  queue.push(queue.default_stream(1), append(log, 'b'));
  queue.wait_device(0);
  queue.wait_device(1);
  EXPECT_EQ(queue.error(0), 7);
  EXPECT_EQ(queue.error(1), 0);
  EXPECT_EQ(log, "b");
  queue.fail(0, 8);
  EXPECT_EQ(queue.error(0), 7);
}

// One thread waits in a step's way, the others queue and poll.
TEST(StreamQueue, ManyThreads) {
  for (const QueueOrder order : kOrders) {
    StreamQueue queue(patient(order), 2);
    std::atomic<int> done = 0;
    const auto work = [&](int device) {
      Stream* const stream = queue.create_stream(device, false);
      for (int i = 0; i < 200; ++i) {
        const OperationRef operation = queue.push(stream, [&done]() -> StepResult {
          ++done;
          return {};
        });
        if (i % 3 == 0) queue.wait(operation);
        if (i % 3 == 1) {
          while (!queue.poll(operation)) std::this_thread::yield();
        }
      }
      queue.wait_device(device);
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(work, i % 2);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(done, 800);
  }
}

// A host function may wait for a thread that waits for another stream.
TEST(StreamQueue, HostFunctionsBlockNobody) {
  StreamQueue queue(patient(QueueOrder::kLate));
  Stream* const first = queue.create_stream(0, false);
  Stream* const second = queue.create_stream(0, false);
  std::atomic<bool> released = false;
  std::atomic<bool> reached = false;
  queue.push(
      first,
      [&]() -> StepResult {
        reached = true;
        while (!released) std::this_thread::yield();
        return {};
      },
      nullptr, StreamQueue::Kind::kHost);
  std::thread waiter([&] { queue.wait(queue.last(first)); });
  while (!reached) std::this_thread::yield();
  std::string log;
  queue.push(second, append(log, 'a'));
  queue.wait(queue.last(second));
  EXPECT_EQ(log, "a");
  released = true;
  waiter.join();
}

TEST(StreamQueue, RunsUnaskedInTheEnd) {
  StreamQueue queue({.order = QueueOrder::kLate, .idle = milliseconds(5)});
  std::atomic<bool> done = false;
  const auto start = std::chrono::steady_clock::now();
  const OperationRef finished = queue.push(queue.create_stream(0, false), {});
  queue.wait(finished);
  queue.push(queue.default_stream(0), [&done]() -> StepResult {
    done = true;
    return {};
  });
  // Asking for what has finished long ago is no reason to wait.
  while (queue.poll(finished) && !done &&
         std::chrono::steady_clock::now() - start < std::chrono::seconds(20)) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_TRUE(done);
}

TEST(StreamQueue, RunsWhenTooMuchIsQueued) {
  StreamQueue queue(patient(QueueOrder::kLate));
  int done = 0;
  for (int i = 0; i < 5000; ++i) {
    queue.push(queue.default_stream(0), [&done]() -> StepResult {
      ++done;
      return {};
    });
  }
  EXPECT_GT(done, 0);
  EXPECT_LT(done, 5000);
  queue.wait_device(0);
  EXPECT_EQ(done, 5000);
}

TEST(StreamQueue, StopsWithWorkLeft) {
  auto queue = std::make_unique<StreamQueue>(patient(QueueOrder::kLate));
  std::string log;
  for (int i = 0; i < 1000; ++i) queue->push(queue->default_stream(0), append(log, 'a'));
  queue->stop();
  queue->wait_device(0);
  queue.reset();
  EXPECT_EQ(log, "");
}

}  // namespace
}  // namespace reformer::ptx
