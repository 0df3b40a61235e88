// A fixed set of threads that share the tiles of one op. Plain std::thread: libgomp hides races
// from the thread sanitizer.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "kernels/core/view.h"

namespace reformer::cpu {

class ThreadPool {
 public:
  /// `threads` includes the caller of `parallel_for`. REQUIRES: threads >= 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(scratch_.size()); }

  /// Calls body(index, thread) for every index in [0, count), each once, in any order, and returns
  /// when all are done. 0 <= thread < threads(). The body must not throw nor call parallel_for.
  /// Only one thread at a time may call this.
  void parallel_for(int64_t count, const std::function<void(int64_t index, int thread)>& body);

  /// Scratch memory of one thread, aligned to 64 bytes, uninitialised; valid until its next call.
  /// Keeps its largest size, so that steady state allocates nothing.
  float* scratch(int thread, size_t floats);

  /// Scratch memory of all threads together.
  size_t scratch_bytes() const;

 private:
  void work(int thread);
  void run_tasks(int thread);

  std::vector<Tensor> scratch_;  // one per thread, touched by it alone

  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  // Guarded by mutex_.
  uint64_t generation_ = 0;
  int running_ = 0;
  bool stopping_ = false;

  // Written under mutex_ before a generation starts, constant while it runs.
  const std::function<void(int64_t, int)>* body_ = nullptr;
  int64_t count_ = 0;
  std::atomic<int64_t> next_{0};

  std::vector<std::thread> workers_;
};

}  // namespace reformer::cpu
