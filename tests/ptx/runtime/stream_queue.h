// The work that a program puts on its streams, and the order in which it is done.
//
// Each operation waits for the one before it in its stream, for the operation of an event where
// told to, and, as CUDA's legacy default stream demands, for the work of the device's blocking
// streams (default stream) or for the default stream (blocking streams). Within these rules the
// queue may choose, and chooses what shows most faults: see QueueOrder.
//
// Operations run on host threads that wait or ask for them, one at a time, with no lock held; so
// other threads may queue and ask meanwhile. Like a device, the queue does not depend on being
// asked: when no call has come for a while, a thread of its own runs what is queued.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>

namespace reformer::ptx {

enum class QueueOrder {
  kLate,    // nothing runs before the host waits for it; then only what that needs, and of a whole
            // device the newest first, each after what it needs
  kEager,   // whatever can run does so at once
  kRandom,  // any of the operations that can run is next, now and then before the host waits
};

/// What one call of an operation's step came to. `error` is 0 or the device's error from then on.
struct StepResult {
  bool finished = true;
  int error = 0;
};

using Step = std::function<StepResult()>;

class Operation;
using OperationRef = std::shared_ptr<Operation>;

struct Stream {
  int device = 0;
  bool blocking = true;  // synchronises with the default stream of its device
  int priority = 0;
  OperationRef last;  // guarded by the queue
};

struct QueueSettings {
  QueueOrder order = QueueOrder::kLate;
  uint64_t seed = 1;  // of the random order
  /// How long after the last call queued work runs unasked.
  std::chrono::milliseconds idle = std::chrono::milliseconds(200);
};

/// Safe to call from any thread, also from within a step, which must not wait though.
class StreamQueue {
 public:
  explicit StreamQueue(QueueSettings settings, int devices = 1);
  /// Drops what is queued.
  ~StreamQueue();
  StreamQueue(const StreamQueue&) = delete;
  StreamQueue& operator=(const StreamQueue&) = delete;

  Stream* create_stream(int device, bool blocking, int priority = 0);
  Stream* default_stream(int device) { return defaults_[static_cast<size_t>(device)].get(); }
  bool is_stream(const Stream* stream) const;
  /// What is queued on it still runs. REQUIRES: is_stream, and not a default stream.
  void destroy_stream(Stream* stream);

  enum class Kind {
    kDevice,  // one at a time
    kHost,    // a host function; others run beside it, for it may wait for another thread
  };

  /// Queues `step`, which is called again and again, while others proceed, until it has finished.
  /// It follows `after` too where one is given. An empty step does nothing.
  OperationRef push(Stream* stream, Step step, OperationRef after = nullptr,
                    Kind kind = Kind::kDevice);

  /// The newest operation of a stream, which may be null.
  OperationRef last(const Stream* stream) const;
  /// When the operation had finished; nullopt until then.
  std::optional<std::chrono::steady_clock::time_point> finished_at(
      const OperationRef& operation) const;

  /// Runs work until `operation` has finished; null has finished.
  void wait(const OperationRef& operation);
  void wait_device(int device);
  /// Runs one operation that `operation` needs, or of others once that has stalled for a while,
  /// then says whether it has finished.
  bool poll(const OperationRef& operation);

  /// The first error of a device; its operations are dropped from then on.
  int error(int device) const;
  void fail(int device, int error);

  /// Waits for what is running and runs no more. For the end of the process.
  void stop();

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Operations = std::deque<OperationRef>;

  OperationRef push(Lock& lock, Stream* stream, Step step, OperationRef after, Kind kind);
  Operations needed_by(const OperationRef& target);
  bool ready(const Operation& operation) const;
  OperationRef first_ready(const Operations& operations) const;
  OperationRef first_ready() const;
  OperationRef random_ready();
  bool run_one(Lock& lock, const Operations& needed, bool others);
  void run(Lock& lock, const OperationRef& operation);
  void wait(Lock& lock, const OperationRef& operation);
  void run_early(Lock& lock);
  void attend();

  const QueueSettings settings_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable stopped_;
  // All guarded by mutex_.
  std::vector<std::unique_ptr<Stream>> defaults_;
  std::map<const Stream*, std::unique_ptr<Stream>> streams_;
  std::map<uint64_t, OperationRef> pending_;  // by number: in the order of the calls
  std::vector<int> errors_;                   // by device
  std::mt19937_64 random_;
  uint64_t operations_ = 0;
  uint64_t finished_ = 0;  // of them
  uint64_t marks_ = 0;
  uint64_t round_ = 1;  // an operation is tried once in a round
  int waiting_ = 0;     // threads in wait()
  bool running_ = false;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point last_call_;
  std::thread attendant_;  // runs work that nobody asks for
};

}  // namespace reformer::ptx
