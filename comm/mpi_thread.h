// The communication thread: the only one that calls MPI. It keeps all operations of the process
// under way moving, so that they proceed while the rank computes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/mpi_steps.h"

namespace reformer::mpi {

/// A thread that does not come out of MPI cannot be stopped, and may still touch the memory of its
/// operations: then the process ends (stuck.h), instead of going on.
class MpiThread {
 public:
  /// Initialises MPI; the process ends if that does not succeed until `deadline`.
  explicit MpiThread(std::chrono::steady_clock::time_point deadline);
  /// Finalises MPI, unless an operation was given up or failed: what MPI does then is up to the
  /// end of the process.
  ~MpiThread();
  MpiThread(const MpiThread&) = delete;
  MpiThread& operator=(const MpiThread&) = delete;

  struct Job;

  /// Queues an operation: its steps begin in the order of the calls and proceed side by side.
  std::shared_ptr<Job> submit(std::function<Steps()> begin);

  /// True when the job is complete, false when `deadline` passes. Throws CommError when it failed.
  bool wait_until(const std::shared_ptr<Job>& job, std::chrono::steady_clock::time_point deadline);

  /// When this returns, no operation is under way any more: MPI is not called again, and all that
  /// was begun or comes later throws CommError with `reason`. A network adapter that writes by
  /// itself may not know that yet, so memory of operations may be released, but should not serve
  /// another purpose before the process ends.
  void give_up(const std::string& reason);

  /// Ends all processes of the job with this exit status.
  [[noreturn]] void abort(int status);

 private:
  void run();
  void serve();
  bool advance_all();
  void require_sound() const;

  std::mutex mutex_;
  std::condition_variable work_;  // for the communication thread
  std::condition_variable done_;  // for everybody else
  // Guarded by mutex_.
  std::vector<std::shared_ptr<Job>> queue_;
  std::string failure_;  // why no operation works any more; empty while all is well
  bool initialized_ = false;
  bool serving_ = true;  // operations may be touched
  bool stopping_ = false;
  bool stopped_ = false;
  bool aborting_ = false;
  int abort_status_ = 1;
  int waiting_ = 0;  // callers that have nothing else to do

  std::vector<std::shared_ptr<Job>> active_;  // of the communication thread
  std::thread thread_;
};

}  // namespace reformer::mpi
