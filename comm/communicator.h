// Communicator: the one interface between ranks. Implementations: self (one rank). comm/README.md
// lists what each collective costs.
//
// Rules: every rank of a group calls the same operations in the same order. Views are dense memory
// of kernels/core and stay untouched by the caller until the operation's handle has been waited
// for; a call without a handle waits itself. Sums of Int64 are exact; sums of floating-point
// numbers are added in rank order. Faults throw CommError.
#pragma once

#include <memory>
#include <string>

#include "kernels/core/view.h"

namespace reformer {

/// An operation under way.
class Pending {
 public:
  virtual ~Pending() = default;

  /// Returns when the operation is complete on this rank. Call once.
  virtual void wait() = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// In words, for the log.
  virtual std::string description() const = 0;

  /// data = Σ over ranks, on every rank. Int64, Float32 or Float64.
  virtual std::unique_ptr<Pending> start_all_reduce_sum(const View& data) = 0;

  /// data = that of rank `root`, on every rank.
  virtual std::unique_ptr<Pending> start_broadcast(const View& data, int root) = 0;

  /// all = the `part` of every rank in rank order. REQUIRES: all has size() · part elements.
  virtual std::unique_ptr<Pending> start_all_gather(const View& part, const View& all) = 0;

  /// Returns when every rank has called it.
  virtual void barrier() = 0;

  void all_reduce_sum(const View& data) { start_all_reduce_sum(data)->wait(); }
  void broadcast(const View& data, int root) { start_broadcast(data, root)->wait(); }
  void all_gather(const View& part, const View& all) { start_all_gather(part, all)->wait(); }
};

}  // namespace reformer
