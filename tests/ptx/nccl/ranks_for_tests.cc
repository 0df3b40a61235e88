#include "tests/ptx/nccl/ranks_for_tests.h"

#include <chrono>
#include <deque>
#include <map>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include "tests/ptx/runtime/stream_steps.h"

namespace reformer::ptx::nccl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned kMostSeconds = 20;
constexpr std::chrono::microseconds kPause{100};

struct QueuedStep {
  int (*step)(void*);
  void* state;
};

std::map<cudaStream_t, std::deque<QueuedStep>> streams;
int current_device = 0;

Clock::time_point in(double seconds) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

void step_all() {
  for (auto& [stream, queue] : streams) {
    if (!queue.empty() && queue.front().step(queue.front().state) != 0) queue.pop_front();
  }
}

}  // namespace

void run_ranks(int ranks, const std::function<void(int rank, const ncclUniqueId& id)>& body) {
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  std::vector<pid_t> children;
  for (int rank = 0; rank < ranks; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(kMostSeconds);
      use_device(rank);
      body(rank, id);
      _exit(::testing::Test::HasFailure() ? 1 : 0);
    }
    children.push_back(child);
  }
  for (size_t rank = 0; rank < children.size(); ++rank) {
    int status = 0;
    waitpid(children[rank], &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "rank " << rank;
  }
}

void use_device(int device) {
  current_device = device;
}

bool run_streams(double seconds) {
  const Clock::time_point deadline = in(seconds);
  while (!streams_are_empty()) {
    if (Clock::now() > deadline) return false;
    step_all();
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

bool streams_are_empty() {
  for (const auto& [stream, queue] : streams) {
    if (!queue.empty()) return false;
  }
  return true;
}

ncclComm_t meet(int ranks, const ncclUniqueId& id, int rank) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t communicator = nullptr;
  EXPECT_EQ(ncclCommInitRankConfig(&communicator, ranks, id, rank, &config), ncclInProgress);
  EXPECT_EQ(settle(communicator), ncclSuccess) << ncclGetLastError(communicator);
  return communicator;
}

ncclResult_t settle(ncclComm_t communicator) {
  ncclResult_t result = ncclInProgress;
  while (result == ncclInProgress) {
    EXPECT_EQ(ncclCommGetAsyncError(communicator, &result), ncclSuccess);
    std::this_thread::sleep_for(kPause);
  }
  return result;
}

ncclResult_t wait_for_error(ncclComm_t communicator, double seconds) {
  const Clock::time_point deadline = in(seconds);
  ncclResult_t result = ncclSuccess;
  while ((result == ncclSuccess || result == ncclInProgress) && Clock::now() < deadline) {
    step_all();
    EXPECT_EQ(ncclCommGetAsyncError(communicator, &result), ncclSuccess);
    std::this_thread::sleep_for(kPause);
  }
  return result;
}

}  // namespace reformer::ptx::nccl

extern "C" {

int ptxStreamEnqueue(cudaStream_t stream, int (*step)(void* state), void* state) {
  reformer::ptx::nccl::streams[stream].push_back({step, state});
  return 0;
}

void* ptxHostPointer(const void* device, size_t, int) {
  return const_cast<void*>(device);
}

cudaError_t cudaGetDevice(int* device) {
  *device = reformer::ptx::nccl::current_device;
  return cudaSuccess;
}
}
