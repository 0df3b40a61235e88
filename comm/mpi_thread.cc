#include "comm/mpi_thread.h"

#include <cstdlib>
#include <optional>

#include <unistd.h>

#include "kernels/core/errors.h"

namespace reformer::mpi {
namespace {

using Clock = std::chrono::steady_clock;

// Polling costs processor time that the rank may want for itself. While it computes, the thread
// looks this often; while it waits, as often as it can, for the first milliseconds.
constexpr std::chrono::microseconds kPollInterval{100};
constexpr std::chrono::milliseconds kEagerPolling{2};

// How long the thread may take to come out of MPI before the process goes on without it.
constexpr std::chrono::seconds kGrace{2};

}  // namespace

struct MpiThread::Job {
  explicit Job(std::function<Steps()> job_begin) : begin(std::move(job_begin)) {}

  // Of the communication thread.
  const std::function<Steps()> begin;
  std::optional<Steps> steps;
  std::string problem;  // why it failed

  bool complete = false;  // guarded by the mutex
};

MpiThread::MpiThread(Clock::time_point deadline) : thread_([this] { run(); }) {
  std::unique_lock lock(mutex_);
  if (done_.wait_until(lock, deadline, [this] { return initialized_ || !failure_.empty(); })) {
    require_sound();
    return;
  }
  thread_.detach();
  throw CommError("[comm] MPI_Init does not return: not all ranks have started");
}

MpiThread::~MpiThread() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
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
  done_.wait_for(lock, kGrace, [this] { return !serving_; });
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
  int provided = MPI_THREAD_SINGLE;
  std::string failure;
  try {
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    if (provided < MPI_THREAD_SERIALIZED) throw CommError("[comm] this MPI knows no threads");
  } catch (const CommError& error) {
    failure = error.what();
  }
  {
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    initialized_ = true;
  }
  done_.notify_all();
  serve();
}

void MpiThread::serve() {
  Clock::time_point progressed = Clock::now();
  std::unique_lock lock(mutex_);
  for (;;) {
    if (aborting_) {
      lock.unlock();
      MPI_Abort(MPI_COMM_WORLD, abort_status_);
    }
    if (!failure_.empty() && serving_) {
      // Nothing is received or sent while nobody calls MPI, so the memory is free.
      serving_ = false;
      queue_.clear();
      active_.clear();
      done_.notify_all();
    }
    if (stopping_ && queue_.empty() && active_.empty()) break;
    if (!serving_ || (queue_.empty() && active_.empty())) {
      work_.wait(lock);
      progressed = Clock::now();
      continue;
    }
    active_.insert(active_.end(), queue_.begin(), queue_.end());
    queue_.clear();

    lock.unlock();
    const std::vector<std::shared_ptr<Job>> ended = advance_all();
    lock.lock();

    for (const std::shared_ptr<Job>& job : ended) {
      job->complete = job->problem.empty();
      if (failure_.empty()) failure_ = job->problem;
    }
    if (!ended.empty()) {
      progressed = Clock::now();
      done_.notify_all();
    } else if (waiting_ > 0 && Clock::now() - progressed < kEagerPolling) {
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    } else {
      work_.wait_for(lock, kPollInterval);
    }
  }
  const bool sound = failure_.empty();
  lock.unlock();
  if (sound) MPI_Finalize();
}

/// Moves all active jobs on; takes those that have ended out of the list and returns them.
std::vector<std::shared_ptr<MpiThread::Job>> MpiThread::advance_all() {
  std::vector<std::shared_ptr<Job>> ended;
  std::vector<std::shared_ptr<Job>> going_on;
  for (const std::shared_ptr<Job>& job : active_) {
    bool complete = true;
    try {
      if (!job->steps) job->steps.emplace(job->begin());
      complete = job->steps->advance();
    } catch (const std::exception& error) {
      job->problem = error.what();
    }
    (complete ? ended : going_on).push_back(job);
    if (complete) job->steps.reset();
  }
  active_ = std::move(going_on);
  return ended;
}

}  // namespace reformer::mpi
