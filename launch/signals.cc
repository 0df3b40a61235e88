#include "launch/signals.h"

#include <csignal>

namespace reformer {
namespace {

// A signal handler reaches nothing but static storage.
std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void request_stop(int signal) {
  stop_requested.store(true);
  std::signal(signal, SIG_DFL);
}

}  // namespace

const std::atomic<bool>& catch_stop_signals() {
  std::signal(SIGTERM, request_stop);
  std::signal(SIGINT, request_stop);
  std::signal(SIGUSR1, request_stop);
  std::signal(SIGXFSZ, SIG_IGN);
  return stop_requested;
}

}  // namespace reformer
