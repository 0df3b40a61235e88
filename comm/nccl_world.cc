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

constexpr std::chrono::microseconds kPause{50};

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
  watchdog_ = std::make_unique<Watchdog>(
      Watchdog::Setup{.who = args.who,
                      .device = device,
                      .find_error = [handles = handles_] { return handles->errors().error; },
                      .abort =
                          [handles = handles_, device] {
                            cudaSetDevice(device);
                            handles->abort();
                          }});
}

World::~World() {
  watchdog_.reset();
  cudaStreamDestroy(stream_);
}

Group World::meet(const ncclUniqueId& id, int rank, int size, std::chrono::milliseconds timeout) {
  const Group group{.handle = handles_->add(), .rank = rank, .size = size};
  ncclConfig_t config = non_blocking();
  const Handles::Result begun = handles_->run("ncclCommInitRankConfig", [&] {
    return ncclCommInitRankConfig(group.handle, size, id, rank, &config);
  });
  settle(begun, group.handle, "the meeting of all ranks", timeout);
  return group;
}

Group World::split(const Group& parent, int color, const std::string& description,
                   std::chrono::milliseconds timeout) {
  Group group{.handle = handles_->add()};
  ncclConfig_t config = non_blocking();
  const Handles::Result begun = handles_->run("ncclCommSplit", [&] {
    return ncclCommSplit(*parent.handle, color, parent.rank, group.handle, &config);
  });
  // The parent is in progress until the new communicator is there, which may then be so itself.
  settle(begun, parent.handle, description, timeout);
  settle({.in_progress = true}, group.handle, description, timeout);
  const Handles::Result place = handles_->run("ncclCommUserRank", [&] {
    const ncclResult_t result = ncclCommUserRank(*group.handle, &group.rank);
    return result == ncclSuccess ? ncclCommCount(*group.handle, &group.size) : result;
  });
  settle(place, group.handle, description, timeout);
  return group;
}

void World::leave(const Group& group, std::chrono::milliseconds timeout) {
  if (std::uncaught_exceptions() > 0) watchdog_->fail("this rank has failed");
  if (watchdog_->has_failed()) return;
  watchdog_->wait_until_idle();
  const std::string what = "the end of a group";
  try {
    settle(handles_->run("ncclCommFinalize", [&] { return ncclCommFinalize(*group.handle); }),
           group.handle, what, timeout);
    const Handles::Result destroyed =
        handles_->run("ncclCommDestroy", [&] { return ncclCommDestroy(*group.handle); });
    if (!destroyed.error.empty()) fail(fmt::format("{}: {}", what, destroyed.error));
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
                                                      .timeout = first.timeout,
                                                      .ready = events_->take(),
                                                      .done = events_->take()});
  check(cudaEventRecord(launch->ready.get(), compute_stream_), "cudaEventRecord");
  check(cudaStreamWaitEvent(stream_, launch->ready.get(), 0), "cudaStreamWaitEvent");
  const Handles::Result begun = handles_->run("ncclGroupEnd", [&] {
    ncclResult_t result = ncclGroupStart();
    for (const std::shared_ptr<Started>& each : operations) {
      if (result == ncclSuccess) result = enqueue(each->operation, each->group, stream_);
    }
    const ncclResult_t ended = ncclGroupEnd();
    return result == ncclSuccess ? ended : result;
  });
  // Not before that is the operation on the stream, and the event behind it.
  settle(begun, first.group.handle, launch->description, launch->timeout);
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
  const Clock::time_point deadline = Clock::now() + kNcclFailureGrace;
  while (cudaStreamQuery(stream_) == cudaErrorNotReady) {
    if (Clock::now() > deadline) {
      end_stuck_process(
          fmt::format("[nccl] {}: the GPU does not come to an end", describe(started.operation)));
    }
    std::this_thread::sleep_for(kPause);
  }
}

void World::settle(Handles::Result begun, ncclComm_t* handle, const std::string& what,
                   std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  while (begun.in_progress) {
    begun = handles_->state_of(handle);
    if (!begun.in_progress) break;
    watchdog_->require_sound();
    if (Clock::now() > deadline) {
      fail(fmt::format("{} has waited {} for the other ranks to begin", what,
                       reformer::describe(timeout)));
    }
    std::this_thread::sleep_for(kPause);
  }
  if (!begun.error.empty()) fail(fmt::format("{}: {}", what, begun.error));
}

void World::fail(const std::string& reason) {
  watchdog_->fail(reason);
  watchdog_->require_sound();
  CHECK(!"require_sound throws after a failure");
}

}  // namespace reformer::nccl
