// Communicator: the one interface between ranks. Implementations: self (one rank), threads (ranks
// are threads of one process), MPI, NCCL beside MPI, and plan (moves nothing). comm/README.md lists
// what each operation costs.
//
// Rules that hold for every operation:
//   * All ranks of a group call the same collectives in the same order. Sends and receives match in
//     order for each pair of ranks.
//   * Operations are started, proceed on their own while the rank computes, and are waited for.
//     Several may be under way. Views lie in host memory; until the wait returns, what is sent
//     must not be written, and what is received neither read nor written.
//   * NCCL's views may lie on the rank's GPU. For those, start and wait are places in the rank's
//     compute stream: the operation sees what was queued there before its start, and what is queued
//     there after its wait sees the result. The host waits for nothing. See nccl.h.
//   * Sums of Int64 are exact and wrap around. Floating-point numbers are added in rank order; on
//     GPUs in an order that is NCCL's choice and the same on all ranks. All other operations move
//     elements of any dtype. No count is too large.
//   * Every wait has a deadline. A wait that passes it, a lost rank, or ranks that disagree throw
//     CommError; then, and after a handle was destroyed without a wait, nothing is under way any
//     more on this rank and every later operation throws too.
//   * `tag` says what the operation is for, in words: "gradients of layer 3", or "attention of
//     layer 3: heads in". It appears in messages and in the flight recorder, which sees every
//     operation, and traffic is summed up by it (traffic.h).
//   * A communicator is used by one thread. Wrong shapes, dtypes and ranks are bugs (CHECK).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/flight_recorder.h"
#include "comm/operation.h"
#include "kernels/core/view.h"

namespace reformer {

/// How an implementation knows one operation under way. Destroying it before it is complete stops
/// all access to the operation's memory.
class Completion {
 public:
  virtual ~Completion() = default;

  /// True once the operation is complete on this rank, or, on a GPU, once the compute stream waits
  /// for it; false if `deadline` passes first. Throws CommError when it cannot complete.
  virtual bool wait_until(std::chrono::steady_clock::time_point deadline) = 0;

  /// After wait_until: calls `then` when the operation is complete, at once or later on any thread;
  /// never if it fails.
  virtual void when_complete(const std::function<void()>& then) { then(); }
};

/// Of an operation that is complete already.
std::unique_ptr<Completion> completed();

/// An operation under way.
class Pending {
 public:
  /// Returns when the operation is complete on this rank, or, on a GPU, when the compute stream
  /// waits for that. Call once.
  void wait();

 private:
  friend class Communicator;
  std::unique_ptr<Completion> completion_;
  Operation operation_;
  class Communicator* communicator_ = nullptr;
  uint64_t record_ = 0;
};

/// Shown the operations of a rank and all its groups, on the rank's thread.
class OperationObserver {
 public:
  virtual ~OperationObserver() = default;

  /// After its start, on `group`; `id` counts all operations of the rank.
  virtual void started(const class Communicator& group, const Operation& operation,
                       uint64_t id) = 0;
  /// After its wait.
  virtual void waited(uint64_t id) = 0;
};

/// What all groups of a rank share.
struct CommunicatorSetup {
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
  std::shared_ptr<FlightRecorder> recorder = std::make_shared<FlightRecorder>();
  std::shared_ptr<OperationObserver> observer{};  // or null
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  FlightRecorder& recorder() const { return *setup_.recorder; }

  /// This rank's share of `count` things, dealt out in rank order; shares differ by at most one.
  Slice own_share(int64_t count) const { return share_of(count, rank_, size_); }

  /// Seconds that the host spent in waits so far.
  double seconds_waited() const { return seconds_waited_; }

  /// For waits from now on, here and in groups split off later.
  void set_timeout(std::chrono::milliseconds timeout) { setup_.timeout = timeout; }

  /// Null: nobody. For operations from now on, here and in groups split off later.
  void set_observer(std::shared_ptr<OperationObserver> observer) {
    setup_.observer = std::move(observer);
  }

  /// In words, for the log.
  virtual std::string description() const = 0;

  /// data = Σ over ranks, on every rank. Int64, Float32 or Float64.
  [[nodiscard]] Pending start_all_reduce_sum(const View& data, std::string tag);

  /// Slice r of `data` on rank r = Σ over ranks; all else is left as it is. Slices are disjoint,
  /// and equal on all ranks. Int64, Float32 or Float64.
  [[nodiscard]] Pending start_reduce_scatter_sum(const View& data, std::vector<Slice> slices,
                                                 std::string tag);

  /// Slice r of `data` = that of rank r, on every rank. Slices as above.
  [[nodiscard]] Pending start_all_gather(const View& data, std::vector<Slice> slices,
                                         std::string tag);

  /// data = that of rank `root`, on every rank.
  [[nodiscard]] Pending start_broadcast(const View& data, int root, std::string tag);

  /// Slice r of `sent` goes to rank r; slice r of `received` = what rank r sent here, which has as
  /// many elements. Received slices are disjoint.
  [[nodiscard]] Pending start_all_to_all(const View& sent, std::vector<Slice> sent_slices,
                                         const View& received, std::vector<Slice> received_slices,
                                         std::string tag);

  /// To and from another rank. The counts of a pair are equal.
  [[nodiscard]] Pending start_send(const View& data, int to, std::string tag);
  [[nodiscard]] Pending start_receive(const View& data, int from, std::string tag);

  /// data = Σ over lower ranks; zero on rank 0. Int64.
  [[nodiscard]] Pending start_exclusive_scan_sum(const View& data, std::string tag);

  // The same, waited for.
  void all_reduce_sum(const View& data, std::string tag);
  void reduce_scatter_sum(const View& data, std::vector<Slice> slices, std::string tag);
  void all_gather(const View& data, std::vector<Slice> slices, std::string tag);
  void broadcast(const View& data, int root, std::string tag);
  void all_to_all(const View& sent, std::vector<Slice> sent_slices, const View& received,
                  std::vector<Slice> received_slices, std::string tag);
  void send(const View& data, int to, std::string tag);
  void receive(const View& data, int from, std::string tag);
  void exclusive_scan_sum(const View& data, std::string tag);

  /// Returns when every rank has called it.
  void barrier(std::string tag);

  /// Σ over ranks.
  int64_t sum(int64_t value, std::string tag);
  /// The values of all ranks, in rank order.
  std::vector<int64_t> gather(int64_t value, std::string tag);
  /// The texts of all ranks, in rank order.
  std::vector<std::string> gather_text(const std::string& text, std::string tag);
  /// The text of rank `root`.
  std::string broadcast_text(const std::string& text, int root, std::string tag);

  /// The group of the ranks with the same `color` >= 0, ordered by rank here. Collective; no
  /// operation of any group may be under way.
  std::unique_ptr<Communicator> split(int color, std::string tag);

  /// Checks, records and begins any operation but kSplit; its sequence is filled in.
  [[nodiscard]] Pending start(Operation operation);

 protected:
  Communicator(int rank, int size, CommunicatorSetup setup)
      : rank_(rank), size_(size), setup_(std::move(setup)) {}

  const CommunicatorSetup& setup() const { return setup_; }

  /// Begins a checked operation.
  virtual std::unique_ptr<Completion> begin(const Operation& operation) = 0;
  virtual std::unique_ptr<Communicator> begin_split(const Operation& operation) = 0;

  // The same of another communicator, for one that is made of others: it has checked and recorded
  // the operation itself.
  static std::unique_ptr<Completion> begin_in(Communicator& part, const Operation& operation) {
    return part.begin(operation);
  }
  static std::unique_ptr<Communicator> begin_split_in(Communicator& part,
                                                      const Operation& operation) {
    return part.begin_split(operation);
  }

 private:
  friend class Pending;
  void check(const Operation& operation) const;
  void check_slices(const View& view, const std::vector<Slice>& slices) const;
  uint64_t record(Operation& operation);
  void wait(Completion& completion, const Operation& operation, uint64_t record);

  int rank_;
  int size_;
  CommunicatorSetup setup_;
  int64_t collectives_ = 0;
  int64_t point_to_point_ = 0;
  double seconds_waited_ = 0;
};

/// "600 s", "0.05 s".
std::string describe(std::chrono::milliseconds duration);

/// Slices of `each` elements for each of `ranks` ranks, one after the other.
std::vector<Slice> equal_slices(int64_t each, int ranks);

}  // namespace reformer
