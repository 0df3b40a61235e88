#include "comm/mpi_thread.h"

#include <algorithm>
#include <optional>

#include <unistd.h>

#include "comm/stuck.h"
#include "kernels/core/errors.h"

namespace reformer::mpi {
namespace {

using Clock = std::chrono::steady_clock;

// Polling costs processor time that the rank may want for itself. While it computes, the thread
// looks this often; while it waits, as often as it can, until nothing has moved for a while.
constexpr std::chrono::microseconds kPollInterval{100};
constexpr std::chrono::milliseconds kEagerPolling{2};

// How long the thread may take to come out of one call of MPI, and out of MPI_Finalize, in which it
// meets all other ranks.
constexpr std::chrono::seconds kGrace{5};
constexpr std::chrono::seconds kFinalizeGrace{60};

}  // namespace

struct MpiThread::Job {
  explicit Job(std::function<Steps()> job_begin) : begin(std::move(job_begin)) {}

  // Of the communication thread.
  const std::function<Steps()> begin;
  std::optional<Steps> steps;

  // Guarded by the mutex.
  bool complete = false;
};

MpiThread::MpiThread(Clock::time_point deadline) : thread_([this] { run(); }) {
  std::unique_lock lock(mutex_);
  if (!done_.wait_until(lock, deadline, [this] { return initialized_; })) {
    end_stuck_process("[comm] MPI_Init does not return: not all ranks have come");
  }
}

MpiThread::~MpiThread() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  work_.notify_all();
  if (!done_.wait_for(lock, kFinalizeGrace, [this] { return stopped_; })) {
    end_stuck_process("[comm] MPI_Finalize does not return: not all ranks have come to the end");
  }
  lock.unlock();
  thread_.join();
}

std::shared_ptr<MpiThread::Job> MpiThread::submit(std::function<Steps()> begin) {
  const auto job = std::make_shared<Job>(std::move(begin));
  {
    const std::lock_guard lock(mutex_);
    require_sound();
    queue_.push_back(job);
  }
  work_.notify_all();
  return job;
}

bool MpiThread::wait_until(const std::shared_ptr<Job>& job, Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  ++waiting_;
  work_.notify_all();
  done_.wait_until(lock, deadline, [&] { return job->complete || !failure_.empty(); });
  --waiting_;
  if (!job->complete) require_sound();
  return job->complete;
}

void MpiThread::give_up(const std::string& reason) {
  std::unique_lock lock(mutex_);
  if (failure_.empty()) failure_ = reason;
  work_.notify_all();
  if (!done_.wait_for(lock, kGrace, [this] { return !serving_; })) end_stuck_process(failure_);
}

void MpiThread::abort(int status) {
  std::unique_lock lock(mutex_);
  aborting_ = true;
  abort_status_ = status;
  work_.notify_all();
  // MPI_Abort does not return; if it is never reached, leaving without MPI_Finalize tells the
  // launcher the same.
  done_.wait_for(lock, kGrace, [] { return false; });
  _exit(status);
}

void MpiThread::require_sound() const {
  if (!failure_.empty()) throw CommError(failure_);
}

void MpiThread::run() {
  // This thread is MPI's main thread. A failure ends the process: MPI's handler is not ours yet.
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  {
    const std::lock_guard lock(mutex_);
    initialized_ = true;
  }
  done_.notify_all();
  serve();
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  done_.notify_all();
}

void MpiThread::serve() {
  Clock::time_point moved_at = Clock::now();
  bool was_waited_for = false;
  std::unique_lock lock(mutex_);
  for (;;) {
    if (aborting_) {
      lock.unlock();
      MPI_Abort(MPI_COMM_WORLD, abort_status_);
    }
    if (!failure_.empty() && serving_) {
      // Nothing is received or sent while nobody calls MPI.
      serving_ = false;
      queue_.clear();
      active_.clear();
      done_.notify_all();
    }
    if (stopping_ && queue_.empty() && active_.empty()) break;
    if (!serving_ || (queue_.empty() && active_.empty())) {
      work_.wait(lock);
      continue;
    }
    active_.insert(active_.end(), queue_.begin(), queue_.end());
    queue_.clear();

    lock.unlock();
    bool moved = false;
    std::string problem;
    try {
      moved = advance_all();
    } catch (const std::exception& error) {
      problem = error.what();
    }
    lock.lock();

    if (failure_.empty()) failure_ = problem;
    if (!failure_.empty()) {
      done_.notify_all();
      continue;
    }
    const auto is_complete = [](const std::shared_ptr<Job>& job) {
      job->complete = !job->steps;
      return job->complete;
    };
    if (std::erase_if(active_, is_complete) > 0) done_.notify_all();

    const bool is_waited_for = waiting_ > 0;
    if (moved || is_waited_for != was_waited_for) moved_at = Clock::now();
    was_waited_for = is_waited_for;
    if (is_waited_for && Clock::now() - moved_at < kEagerPolling) {
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    } else if (!moved) {
      work_.wait_for(lock, kPollInterval);
    }
  }
  const bool sound = failure_.empty();
  lock.unlock();
  if (sound) MPI_Finalize();
}

/// Lets all active jobs go as far as they can; those that are complete lose their steps. True if
/// any went further. After an exception nothing has been freed, since MPI may still be at work.
bool MpiThread::advance_all() {
  bool moved = false;
  for (const std::shared_ptr<Job>& job : active_) {
    if (!job->steps) job->steps.emplace(job->begin());
    switch (job->steps->advance()) {
      case Steps::State::kBlocked:
        break;
      case Steps::State::kMoved:
        moved = true;
        break;
      case Steps::State::kComplete:
        moved = true;
        job->steps.reset();
        break;
    }
  }
  return moved;
}

}  // namespace reformer::mpi
