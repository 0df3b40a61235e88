#include "comm/nccl_world.h"

#include <algorithm>
#include <exception>
#include <thread>

#include <fmt/format.h>

#include "comm/communicator.h"
#include "comm/nccl.h"
#include "comm/stuck.h"
#include "kernels/core/errors.h"

namespace reformer::nccl {
namespace {

using Clock = std::chrono::steady_clock;

// NCCL mostly takes microseconds to put an operation on a stream; the first time it makes
// connections.
constexpr std::chrono::milliseconds kEagerPolling{1};
constexpr std::chrono::microseconds kPause{100};

ncclConfig_t non_blocking() {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  return config;
}

std::string describe_all(const std::vector<std::shared_ptr<Started>>& operations) {
  const std::string first = describe(operations.front()->operation);
  return operations.size() == 1 ? first
                                : fmt::format("{} and {} more", first, operations.size() - 1);
}

}  // namespace

World::World(const Args& args) : compute_stream_(args.compute_stream) {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  int least = 0;
  int greatest = 0;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
  check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest),
        "cudaStreamCreateWithPriority");
  Watchdog::Setup setup{.who = args.who, .device = device};
  setup.find_error = [handles = handles_] { return handles->errors().error; };
  setup.abort = [handles = handles_, device] {
    cudaSetDevice(device);
    handles->abort();
  };
  setup.record = [recorder = args.recorder](const Operation& failed) { recorder->end(failed); };
  watchdog_ = std::make_unique<Watchdog>(std::move(setup));
}

World::~World() {
  watchdog_.reset();
  cudaStreamDestroy(stream_);
}

template <typename Call>
void World::run(const Work& work, ncclComm_t* handle, const Call& call) {
  watchdog_->require_sound();
  Watchdog::Call watched(*watchdog_, work.what, work.timeout);
  const Handles::Result begun = handles_->run(work.name, call);
  watched.returned();
  // Some calls do not say that they are in progress, and none is to blame for an error before it.
  settle(work, handle, watched);
  if (!begun.error.empty()) fail(fmt::format("{}: {}", work.what, begun.error));
}

void World::settle(const Work& work, ncclComm_t* handle, Watchdog::Call& watched) {
  const Clock::time_point begin = Clock::now();
  for (;;) {
    const Handles::Result state = handles_->state_of(handle);
    watched.returned();
    watchdog_->require_sound();
    if (!state.error.empty()) {
      watchdog_->fail_in_nccl(work.what, state.error);
      watchdog_->require_sound();
    }
    if (!state.in_progress) return;
    const auto waited = Clock::now() - begin;
    if (waited > work.timeout) {
      fail(fmt::format("{} has waited {} for the other ranks to begin", work.what,
                       reformer::describe(work.timeout)));
    }
    if (waited < kEagerPolling) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kPause);
    }
  }
}

Group World::meet(const ncclUniqueId& id, int rank, int size, std::chrono::milliseconds timeout) {
  const Group group{.handle = handles_->add(), .rank = rank, .size = size};
  ncclConfig_t config = non_blocking();
  run({"the meeting of all ranks", "ncclCommInitRankConfig", timeout}, group.handle,
      [&] { return ncclCommInitRankConfig(group.handle, size, id, rank, &config); });
  return group;
}

Group World::split(const Group& parent, int color, const std::string& description,
                   std::chrono::milliseconds timeout) {
  Group group{.handle = handles_->add()};
  ncclConfig_t config = non_blocking();
  // The parent is in progress until the new communicator is there, which may then be so itself.
  run({description, "ncclCommSplit", timeout}, parent.handle,
      [&] { return ncclCommSplit(*parent.handle, color, parent.rank, group.handle, &config); });
  {
    Watchdog::Call watched(*watchdog_, description, timeout);
    settle({description, "ncclCommSplit", timeout}, group.handle, watched);
  }
  run({description, "ncclCommUserRank", timeout}, group.handle,
      [&] { return ncclCommUserRank(*group.handle, &group.rank); });
  run({description, "ncclCommCount", timeout}, group.handle,
      [&] { return ncclCommCount(*group.handle, &group.size); });
  return group;
}

void World::leave(const Group& group, std::chrono::milliseconds timeout) {
  if (std::uncaught_exceptions() > 0) watchdog_->fail("this rank has failed");
  if (watchdog_->has_failed()) return;
  watchdog_->wait_until_idle();
  try {
    run({"the end of a group", "ncclCommFinalize", timeout}, group.handle,
        [&] { return ncclCommFinalize(*group.handle); });
    const Watchdog::Call watched(*watchdog_, "the end of a group", timeout);
    const Handles::Result destroyed =
        handles_->run("ncclCommDestroy", [&] { return ncclCommDestroy(*group.handle); });
    if (!destroyed.error.empty()) throw CommError("[nccl] " + destroyed.error);
    handles_->remove(group.handle);
  } catch (const CommError& error) {
    fmt::print(stderr, "reformer: {}\n", error.what());
  }
}

std::shared_ptr<Started> World::start(const Operation& operation, const Group& group,
                                      std::chrono::milliseconds timeout) {
  auto started = std::make_shared<Started>(
      Started{.operation = operation, .group = group, .timeout = timeout});
  if (operation.is_collective()) {
    launch({started});
  } else {
    messages_.push_back(started);
  }
  return started;
}

void World::launch(const std::vector<std::shared_ptr<Started>>& operations) {
  watchdog_->require_sound();
  const Started& first = *operations.front();
  const auto launch = std::make_shared<Launch>(Launch{.description = describe_all(operations),
                                                      .first = first.operation,
                                                      .timeout = first.timeout,
                                                      .ready = events_->take(),
                                                      .done = events_->take()});
  check(cudaEventRecord(launch->ready.get(), compute_stream_), "cudaEventRecord");
  check(cudaStreamWaitEvent(stream_, launch->ready.get(), 0), "cudaStreamWaitEvent");
  // Only after that is the operation on the stream, so that the event comes behind it.
  run({launch->description, "ncclGroupEnd", launch->timeout}, first.group.handle, [&] {
    ncclResult_t result = ncclGroupStart();
    for (const std::shared_ptr<Started>& each : operations) {
      if (result != ncclSuccess) break;
      result = enqueue(each->operation, each->group, stream_);
      if (result == ncclInProgress) result = ncclSuccess;
    }
    const ncclResult_t ended = ncclGroupEnd();
    return result == ncclSuccess ? ended : result;
  });
  check(cudaEventRecord(launch->done.get(), stream_), "cudaEventRecord");
  watchdog_->watch(launch);
  for (const std::shared_ptr<Started>& each : operations) each->launch = launch;
}

/// Together, because on a stream one would wait for the end of the other, and every rank may have
/// another one first.
void World::launch_messages(ncclComm_t* handle) {
  const auto others = std::stable_partition(
      messages_.begin(), messages_.end(),
      [&](const std::shared_ptr<Started>& each) { return each->group.handle != handle; });
  const std::vector<std::shared_ptr<Started>> ours(others, messages_.end());
  messages_.erase(others, messages_.end());
  launch(ours);
}

void World::wait(Started& started) {
  watchdog_->require_sound();
  if (started.launch == nullptr) launch_messages(started.group.handle);
  check(cudaStreamWaitEvent(compute_stream_, started.launch->done.get(), 0), "cudaStreamWaitEvent");
}

void World::when_complete(Started& started, const std::function<void()>& then) {
  watchdog_->when_complete(*started.launch, then);
}

void World::give_up(const Started& started) {
  watchdog_->fail(fmt::format("{} was given up", describe(started.operation)));
  std::erase_if(messages_, [&](const auto& each) { return each.get() == &started; });
  // The abort ends NCCL's kernels; what they wait for on the compute stream may take longer.
  const Clock::time_point deadline = Clock::now() + started.timeout;
  while (cudaStreamQuery(stream_) == cudaErrorNotReady) {
    if (Clock::now() > deadline) {
      end_stuck_process(
          fmt::format("[nccl] {}: the GPU does not come to an end", describe(started.operation)));
    }
    std::this_thread::sleep_for(kPause);
  }
}

void World::fail(const std::string& reason) {
  watchdog_->fail(reason);
  watchdog_->require_sound();
  CHECK(!"require_sound throws after a failure");
}

}  // namespace reformer::nccl
