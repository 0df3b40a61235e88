// A communicator over a slow line.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "comm/communicator.h"

namespace reformer::testing {

/// Does what `inner` does, but a reduce-scatter is complete only when its bytes have passed a line
/// that carries one operation after the other, at `seconds_per_byte`.
class DelayingCommunicator final : public Communicator {
 public:
  DelayingCommunicator(Communicator& inner, double seconds_per_byte)
      : Communicator(inner.rank(), inner.size(), {}),
        inner_(inner),
        seconds_per_byte_(seconds_per_byte) {}

  std::string description() const override { return "slow " + inner_.description(); }

  /// Seconds for which the line was busy so far, and those that somebody waited for it.
  double busy_seconds() const { return busy_seconds_; }
  double waited_seconds() const { return waited_seconds_; }

 private:
  using Clock = std::chrono::steady_clock;

  class DelayedCompletion final : public Completion {
   public:
    DelayedCompletion(Pending operation, Clock::time_point arrival, double& waited_seconds)
        : operation_(std::move(operation)), arrival_(arrival), waited_seconds_(waited_seconds) {}

    bool wait_until(Clock::time_point deadline) override {
      operation_.wait();
      const Clock::time_point begin = Clock::now();
      std::this_thread::sleep_until(std::min(arrival_, deadline));
      waited_seconds_ += std::chrono::duration<double>(Clock::now() - begin).count();
      return arrival_ <= deadline;
    }

   private:
    Pending operation_;
    Clock::time_point arrival_;
    double& waited_seconds_;
  };

  std::unique_ptr<Completion> begin(const Operation& operation) override {
    double seconds = 0;
    if (operation.kind == OperationKind::kReduceScatterSum) {
      int64_t elements = 0;
      for (const Slice& slice : operation.slices) elements += slice.elements();
      seconds = seconds_per_byte_ * static_cast<double>(elements) *
                static_cast<double>(size_of(operation.data.dtype()));
    }
    busy_seconds_ += seconds;
    free_ = std::max(free_, Clock::now()) +
            std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    return std::make_unique<DelayedCompletion>(inner_.start(operation), free_, waited_seconds_);
  }

  std::unique_ptr<Communicator> begin_split(const Operation& operation) override {
    return inner_.split(operation.peer, operation.tag);
  }

  Communicator& inner_;
  double seconds_per_byte_;
  double busy_seconds_ = 0;
  double waited_seconds_ = 0;
  Clock::time_point free_{};  // when the line is free again
};

}  // namespace reformer::testing
