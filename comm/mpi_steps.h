// An MPI operation as a coroutine: it posts requests, `co_await`s them, and goes on when they are
// complete, so that each operation reads like the algorithm while many proceed side by side.
#pragma once

#include <coroutine>
#include <exception>
#include <utility>
#include <vector>

#include <mpi.h>

namespace reformer::mpi {

/// Throws CommError with MPI's own words unless `code` is MPI_SUCCESS.
void check(int code, const char* call);

using Requests = std::vector<MPI_Request>;

class Steps {
 public:
  struct promise_type {
    Requests* awaited = nullptr;  // in the coroutine's own frame
    std::exception_ptr failure;

    Steps get_return_object() {
      return Steps(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { failure = std::current_exception(); }

    /// `co_await requests` goes on when all are complete, and leaves the list empty.
    std::suspend_always await_transform(Requests& requests) {
      awaited = &requests;
      return {};
    }
  };

  Steps(Steps&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Steps& operator=(Steps&&) = delete;
  ~Steps() {
    if (coroutine_) coroutine_.destroy();
  }

  enum class State {
    kBlocked,   // waits for the same requests as before
    kMoved,     // has gone further, and waits for others now
    kComplete,  // the operation is done
  };

  /// Goes as far as it can without waiting. Throws what the coroutine threw.
  State advance() {
    promise_type& promise = coroutine_.promise();
    bool moved = false;
    while (!coroutine_.done()) {
      if (promise.awaited != nullptr && !complete(*promise.awaited)) {
        return moved ? State::kMoved : State::kBlocked;
      }
      promise.awaited = nullptr;
      coroutine_.resume();
      moved = true;
    }
    if (promise.failure) std::rethrow_exception(promise.failure);
    return State::kComplete;
  }

 private:
  explicit Steps(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}

  static bool complete(Requests& requests) {
    int all = 0;
    check(
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &all, MPI_STATUSES_IGNORE),
        "MPI_Testall");
    if (all != 0) requests.clear();
    return all != 0;
  }

  std::coroutine_handle<promise_type> coroutine_;
};

}  // namespace reformer::mpi
