// The stand-in's communicator. Its life, as a non-blocking one sees it:
//
//   meeting → ready ⇄ launching, splitting, finalizing;  failed from any of them, for good
//
// A communicator that is not ready answers ncclInProgress and goes on when it is asked again, as
// NCCL's own threads would meanwhile.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tests/ptx/nccl/exchange.h"
#include "tests/ptx/nccl/faults.h"

namespace reformer::ptx::nccl {

/// What all communicators of the process share.
struct Process {
  Faults faults;
  std::mutex mutex;
  int64_t operations = 0;  // called so far; guarded by mutex
};

struct CommunicatorArgs {
  SegmentName segment{};
  int rank = 0;
  int size = 1;
  int device = 0;
  bool blocking = true;
  bool is_split_off = false;
};

}  // namespace reformer::ptx::nccl

/// Used by any thread. A shared_ptr keeps it while one of its operations is queued.
struct ncclComm : std::enable_shared_from_this<ncclComm> {
 public:
  using Call = reformer::ptx::nccl::Call;

  ncclComm(const reformer::ptx::nccl::CommunicatorArgs& args,
           std::shared_ptr<reformer::ptx::nccl::Process> process);
  ~ncclComm();

  int rank() const { return args_.rank; }
  int size() const { return args_.size; }
  int device() const { return args_.device; }
  bool is_blocking() const { return args_.blocking; }

  /// The state, after it has gone on as far as it can now.
  ncclResult_t advance();
  /// advance() until it is no longer in progress.
  ncclResult_t wait();
  /// advance(), or wait() when calls of this communicator block.
  ncclResult_t settle() { return is_blocking() ? wait() : advance(); }

  /// Puts the calls of a group on a stream.
  ncclResult_t launch(std::vector<Call> calls, cudaStream_t stream);
  /// Begins a split; `child` is written when its ranks have met, and is null for a negative color.
  ncclResult_t split(int color, int key, bool blocking, ncclComm_t* child);
  /// Begins to wait for all that was launched.
  ncclResult_t finalize();
  /// Ends what is under way, wherever it is. With abort-hangs, never returns.
  void abort();

  std::string error() const;

 private:
  enum class State { kMeeting, kReady, kLaunching, kSplitting, kFinalizing, kFailed };
  struct Operation;
  struct Queued;
  struct Split;

  static int step(void* queued);
  int step(Operation& operation);
  bool is_due(Operation& operation);
  ncclResult_t advance(std::unique_lock<std::mutex>& lock);
  ncclResult_t require_ready() const;
  void meet();
  ncclResult_t enqueue(std::unique_lock<std::mutex>& lock);
  void advance_split();
  bool make_child();
  void fail(ncclResult_t result, const std::string& error);

  const reformer::ptx::nccl::CommunicatorArgs args_;
  const std::shared_ptr<reformer::ptx::nccl::Process> process_;
  const std::unique_ptr<reformer::ptx::nccl::Segment> segment_;
  const reformer::ptx::nccl::Place place_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  State state_ = State::kMeeting;
  ncclResult_t result_ = ncclSuccess;
  std::string error_;
  bool aborted_ = false;
  bool asked_ = false;                                 // about the launch under way
  std::deque<std::shared_ptr<Operation>> operations_;  // not finished, in the order of the calls
  std::shared_ptr<Operation> launching_;               // not yet on its stream
  std::unique_ptr<Split> split_;
};

namespace reformer::ptx::nccl {

/// The communicators that a program has handles of.
std::shared_ptr<ncclComm> find_communicator(ncclComm_t handle);
ncclComm_t keep_communicator(std::shared_ptr<ncclComm> communicator);
void release_communicator(ncclComm_t handle);

}  // namespace reformer::ptx::nccl
