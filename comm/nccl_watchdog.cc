#include "comm/nccl_watchdog.h"

#include <utility>

#include <fmt/format.h>

#include "comm/communicator.h"
#include "comm/nccl.h"
#include "comm/stuck.h"
#include "kernels/core/errors.h"

namespace reformer::nccl {
namespace {

constexpr std::chrono::milliseconds kPollInterval{1};
constexpr std::chrono::milliseconds kGuardInterval{20};

bool has_passed(const Event& event) {
  const cudaError_t state = cudaEventQuery(event.get());
  if (state == cudaErrorNotReady) return false;
  check(state, "cudaEventQuery");
  return true;
}

/// Runs `abort` on a thread of its own. False when it does not return in time: the thread is left
/// to itself then.
bool abort_in_time(const std::function<void()>& abort) {
  struct Progress {
    std::mutex mutex;
    std::condition_variable changed;
    bool ended = false;
  };
  const auto progress = std::make_shared<Progress>();
  std::thread([progress, abort] {
    abort();
    const std::lock_guard lock(progress->mutex);
    progress->ended = true;
    progress->changed.notify_all();
  }).detach();
  std::unique_lock lock(progress->mutex);
  return progress->changed.wait_for(lock, kNcclAbortGrace, [&] { return progress->ended; });
}

}  // namespace

Watchdog::Watchdog(Setup setup)
    : setup_(std::move(setup)), poller_([this] { poll(); }), guard_([this] { guard(); }) {}

Watchdog::~Watchdog() {
  Lock lock(mutex_);
  acknowledge(lock);
  stopping_ = true;
  changed_.notify_all();
  if (!changed_.wait_for(lock, kNcclFailureGrace, [this] { return !polling_; })) {
    end_stuck_process(fmt::format("[nccl] {}: the GPU does not answer", setup_.who));
  }
  lock.unlock();
  poller_.join();
  guard_.join();
}

void Watchdog::watch(std::shared_ptr<Launch> launch) {
  {
    const Lock lock(mutex_);
    under_way_.push_back(std::move(launch));
  }
  changed_.notify_all();
}

void Watchdog::when_complete(Launch& launch, const std::function<void()>& then) {
  {
    const Lock lock(mutex_);
    if (!launch.complete) {
      launch.then.push_back(then);
      return;
    }
  }
  then();
}

void Watchdog::wait_until_idle() {
  Lock lock(mutex_);
  changed_.wait(lock, [this] { return under_way_.empty() || !failure_.empty(); });
}

Watchdog::Call::Call(Watchdog& watchdog, std::string description, std::chrono::milliseconds timeout)
    : watchdog_(watchdog) {
  const Lock lock(watchdog_.mutex_);
  watchdog_.call_ = Wait{std::move(description), Clock::now(), timeout};
  watchdog_.changed_.notify_all();
}

Watchdog::Call::~Call() {
  const Lock lock(watchdog_.mutex_);
  watchdog_.call_.reset();
}

void Watchdog::Call::returned() {
  const Lock lock(watchdog_.mutex_);
  watchdog_.call_->since = Clock::now();
}

void Watchdog::require_sound() {
  Lock lock(mutex_);
  if (failure_.empty()) return;
  acknowledge(lock);
  throw CommError(failure_);
}

bool Watchdog::has_failed() {
  const Lock lock(mutex_);
  return !failure_.empty();
}

void Watchdog::fail(const std::string& reason) {
  Lock lock(mutex_);
  begin_failure(reason);
  acknowledge(lock);
}

void Watchdog::fail_in_nccl(const std::string& what, const std::string& error) {
  Lock lock(mutex_);
  if (under_way_.empty()) {
    begin_failure(fmt::format("{}: {}", what, error));
  } else {
    begin_failure(*under_way_.front(), ": " + error);
  }
  acknowledge(lock);
}

/// The rank, on whose thread this is, will end by itself. Returns when NCCL is aborted.
void Watchdog::acknowledge(Lock& lock) {
  if (failure_.empty()) return;
  acknowledged_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return aborted_; });
}

void Watchdog::begin_failure(const std::string& reason) {
  if (!failure_.empty()) return;
  failure_ = fmt::format("[nccl] {}: {}", setup_.who, reason);
  failed_at_ = Clock::now();
  changed_.notify_all();
}

/// `reason` goes on after the operation's description.
void Watchdog::begin_failure(const Launch& launch, const std::string& reason) {
  if (failure_.empty()) setup_.record(launch.first);
  begin_failure(launch.description + reason);
}

void Watchdog::poll() {
  cudaSetDevice(setup_.device);
  Lock lock(mutex_);
  while (!stopping_) {
    if (under_way_.empty() || !failure_.empty()) {
      changed_.wait(lock);
    } else if (!look_at_first(lock)) {
      changed_.wait_for(lock, kPollInterval);
    }
  }
  polling_ = false;
  changed_.notify_all();
}

/// True if the first launch has turned out to be complete.
bool Watchdog::look_at_first(Lock& lock) {
  const std::shared_ptr<Launch> first = under_way_.front();
  bool begun = first->begun.has_value();
  bool complete = false;
  std::string error;
  asking_since_ = Clock::now();
  lock.unlock();
  try {
    error = setup_.find_error();
    if (!begun) begun = has_passed(first->ready);
    if (begun) complete = has_passed(first->done);
  } catch (const DeviceError& problem) {
    error = problem.what();
  }
  lock.lock();
  asking_since_.reset();
  if (begun && !first->begun) first->begun = Clock::now();
  // An error is laid to the first operation that is not complete.
  if (!error.empty() && !complete) begin_failure(*first, ": " + error);
  if (!complete || !failure_.empty()) return false;
  under_way_.pop_front();
  first->complete = true;
  const std::vector<std::function<void()>> then = std::exchange(first->then, {});
  lock.unlock();
  for (const auto& call : then) call();
  lock.lock();
  changed_.notify_all();
  return true;
}

void Watchdog::guard() {
  Lock lock(mutex_);
  while (!stopping_) {
    if (!failure_.empty()) return end_failure(lock);
    if (under_way_.empty() && !call_) {
      changed_.wait(lock);
    } else if (!find_overdue()) {
      changed_.wait_for(lock, kGuardInterval);
    }
  }
  // A failure that came with the end is followed by its abort all the same.
  if (!failure_.empty()) end_failure(lock);
}

/// Begins a failure, and returns true, when something has taken too long. Operations run one after
/// the other, so the first one's deadline is the next to pass.
bool Watchdog::find_overdue() {
  const Clock::time_point now = Clock::now();
  if (call_ && now > call_->since + call_->timeout) {
    begin_failure(fmt::format("{}: NCCL has not returned for {}", call_->description,
                              reformer::describe(call_->timeout)));
    return true;
  }
  if (under_way_.empty()) return false;
  const Launch& first = *under_way_.front();
  const std::string timeout = reformer::describe(first.timeout);
  if (first.begun && now > *first.begun + first.timeout) {
    begin_failure(first, fmt::format(" has waited {} for the other ranks", timeout));
  } else if (asking_since_ && now > *asking_since_ + first.timeout) {
    begin_failure(first, fmt::format(": the GPU has not answered for {}", timeout));
  }
  return !failure_.empty();
}

void Watchdog::end_failure(Lock& lock) {
  const std::string failure = failure_;
  lock.unlock();
  if (!abort_in_time(setup_.abort)) {
    end_stuck_process(failure + "; and ncclCommAbort does not return");
  }
  lock.lock();
  aborted_ = true;
  changed_.notify_all();
  if (!changed_.wait_until(lock, failed_at_ + kNcclFailureGrace,
                           [this] { return acknowledged_ || stopping_; })) {
    end_stuck_process(failure);
  }
}

}  // namespace reformer::nccl
