// The watchdog over what a rank has on its communication stream: finds operations that pass their
// deadline and errors that NCCL reports, and sees to it that the rank then ends.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/nccl_calls.h"
#include "comm/operation.h"

namespace reformer::nccl {

/// Operations that were put on the communication stream together.
struct Launch {
  std::string description;
  Operation first{};  // of them
  std::chrono::milliseconds timeout{};
  Event ready;  // on the compute stream: what they need is there
  Event done;   // on the communication stream

  // Guarded by the watchdog.
  std::optional<std::chrono::steady_clock::time_point> begun{};
  bool complete = false;
  std::vector<std::function<void()>> then{};  // to be called once complete
};

/// Two threads. One asks CUDA and NCCL, and may get stuck in that; the other one only looks at the
/// clock.
class Watchdog {
 public:
  struct Setup {
    std::string who;  // "rank 1 on node7"
    int device = 0;
    std::function<std::string()> find_error{};       // that NCCL reports; empty if there is none
    std::function<void()> abort{};                   // of all communicators; may hang
    std::function<void(const Operation&)> record{};  // one that failed, which may be long ago
  };
  explicit Watchdog(Setup setup);
  /// REQUIRES: nothing is under way, or something failed.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// Watches from now on. Launches are complete in the order of these calls.
  void watch(std::shared_ptr<Launch> launch);
  /// Calls `then` once the launch is complete, maybe at once, maybe on another thread.
  void when_complete(Launch& launch, const std::function<void()>& then);
  /// Returns when nothing is under way any more, or something failed.
  void wait_until_idle();

  /// While it lives, the rank is in calls of NCCL that each have to return within `timeout`.
  class Call {
   public:
    Call(Watchdog& watchdog, std::string description, std::chrono::milliseconds timeout);
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    /// One has returned, and the next one follows.
    void returned();

   private:
    Watchdog& watchdog_;
  };

  /// Throws CommError once something has failed.
  void require_sound();
  bool has_failed();
  /// From now on nothing works any more, because of `reason`, unless something failed before.
  /// Returns when NCCL is aborted.
  void fail(const std::string& reason);
  /// The same for an error that NCCL reports: of the first operation under way, or else of `what`.
  void fail_in_nccl(const std::string& what, const std::string& error);

 private:
  using Clock = std::chrono::steady_clock;
  using Lock = std::unique_lock<std::mutex>;

  /// Something that the rank waits for.
  struct Wait {
    std::string description;
    Clock::time_point since;
    std::chrono::milliseconds timeout;
  };

  void poll();
  bool look_at_first(Lock& lock);
  void guard();
  bool find_overdue();
  void begin_failure(const std::string& reason);
  void begin_failure(const Launch& launch, const std::string& reason);
  void end_failure(Lock& lock);
  void acknowledge(Lock& lock);

  const Setup setup_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // All guarded by mutex_.
  std::deque<std::shared_ptr<Launch>> under_way_;
  std::optional<Clock::time_point> asking_since_;  // the poller is in CUDA or NCCL
  std::optional<Wait> call_;                       // the rank is in NCCL
  std::string failure_;                            // empty while all is well
  Clock::time_point failed_at_{};
  bool aborted_ = false;       // after a failure: nothing touches memory any more
  bool acknowledged_ = false;  // the rank knows of the failure
  bool stopping_ = false;
  bool polling_ = true;

  std::thread poller_;
  std::thread guard_;
};

}  // namespace reformer::nccl
