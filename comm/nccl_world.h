// What all NCCL communicators of a rank share: the communication stream, the watchdog, and the way
// of an operation from its start to its wait.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/flight_recorder.h"
#include "comm/nccl_calls.h"
#include "comm/nccl_operations.h"
#include "comm/nccl_watchdog.h"

namespace reformer::nccl {

/// An operation between its start and its wait.
struct Started {
  Operation operation;
  Group group;
  std::chrono::milliseconds timeout{};
  std::shared_ptr<Launch> launch{};  // absent for sends and receives that nobody has waited for yet
};

/// Used by the rank's thread.
class World {
 public:
  struct Args {
    std::string who;  // "rank 1 on node7"
    cudaStream_t compute_stream = nullptr;
    std::shared_ptr<FlightRecorder> recorder;  // ends with the operation that failed
  };
  explicit World(const Args& args);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Makes the communicator `id` of `size` ranks, or one of the ranks of `parent` with the same
  /// color, in the order of their ranks there. Throw CommError after `timeout`.
  Group meet(const ncclUniqueId& id, int rank, int size, std::chrono::milliseconds timeout);
  Group split(const Group& parent, int color, const std::string& description,
              std::chrono::milliseconds timeout);
  /// Ends a communicator. Collective unless something failed, or an exception is under way: then it
  /// fails. Does not throw.
  void leave(const Group& group, std::chrono::milliseconds timeout);

  std::shared_ptr<Started> start(const Operation& operation, const Group& group,
                                 std::chrono::milliseconds timeout);
  /// What is queued on the compute stream from now on sees the result.
  void wait(Started& started);
  void when_complete(Started& started, const std::function<void()>& then);
  /// For an operation that nobody will wait for. Returns when the GPU touches nothing of it any
  /// more.
  void give_up(const Started& started);

  /// Throws CommError once something has failed.
  void require_sound() { watchdog_->require_sound(); }

 private:
  void launch(const std::vector<std::shared_ptr<Started>>& operations);
  void launch_messages(ncclComm_t* handle);
  /// Makes a call, named `name`, on behalf of `what`, and waits until the communicator is no longer
  /// in progress. Throws CommError when it fails, or takes longer than `timeout`.
  struct Work {
    std::string what;
    const char* name;
    std::chrono::milliseconds timeout;
  };
  template <typename Call>
  void run(const Work& work, ncclComm_t* handle, const Call& call);
  void settle(const Work& work, ncclComm_t* handle, Watchdog::Call& watched);
  [[noreturn]] void fail(const std::string& reason);

  const cudaStream_t compute_stream_;
  cudaStream_t stream_ = nullptr;
  const std::shared_ptr<EventPool> events_ = std::make_shared<EventPool>();
  // An abort that hangs keeps them.
  const std::shared_ptr<Handles> handles_ = std::make_shared<Handles>();
  std::vector<std::shared_ptr<Started>> messages_;  // sends and receives that are not launched yet
  std::unique_ptr<Watchdog> watchdog_;
};

}  // namespace reformer::nccl
