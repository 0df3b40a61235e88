#include "kernels/cpu/thread_pool.h"

#include "kernels/core/check.h"

namespace reformer::cpu {

ThreadPool::ThreadPool(int threads) {
  CHECK_GE(threads, 1);
  scratch_.resize(static_cast<size_t>(threads));
  for (int thread = 1; thread < threads; ++thread) {
    workers_.emplace_back([this, thread] { work(thread); });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  start_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::parallel_for(int64_t count,
                              const std::function<void(int64_t index, int thread)>& body) {
  if (workers_.empty() || count <= 1) {
    for (int64_t index = 0; index < count; ++index) body(index, 0);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    body_ = &body;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    running_ = static_cast<int>(workers_.size());
    ++generation_;
  }
  start_.notify_all();
  run_tasks(0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return running_ == 0; });
}

float* ThreadPool::scratch(int thread, size_t floats) {
  Tensor& memory = scratch_[static_cast<size_t>(thread)];
  if (memory.elements() < static_cast<int64_t>(floats)) {
    memory = Tensor();  // give the old memory back before asking for more
    memory = Tensor(DType::kFloat32, {static_cast<int64_t>(floats)});
  }
  return memory.data<float>();
}

size_t ThreadPool::scratch_bytes() const {
  size_t bytes = 0;
  for (const Tensor& memory : scratch_) bytes += memory.view().bytes();
  return bytes;
}

void ThreadPool::work(int thread) {
  uint64_t seen = 0;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      start_.wait(lock, [&] { return stopping_ || generation_ != seen; });
      if (stopping_) return;
      seen = generation_;
    }
    run_tasks(thread);
    std::lock_guard lock(mutex_);
    if (--running_ == 0) done_.notify_one();
  }
}

void ThreadPool::run_tasks(int thread) {
  for (;;) {
    const int64_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count_) return;
    (*body_)(index, thread);
  }
}

}  // namespace reformer::cpu
