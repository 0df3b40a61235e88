#include "tests/ptx/nccl/communicator.h"

#include <algorithm>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "tests/ptx/nccl/split.h"
#include "tests/ptx/runtime/stream_steps.h"

using namespace reformer::ptx::nccl;  // ncclComm is NCCL's name, outside of any namespace

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::microseconds kPause{200};

[[noreturn]] void hang() {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

}  // namespace

/// A group of calls.
struct ncclComm::Operation {
  Operation(const Place& place, std::vector<Call> calls, uint64_t pretended)
      : exchange(place, std::move(calls), ptxHostPointer, pretended) {}

  Exchange exchange;
  cudaStream_t stream = nullptr;
  int64_t number = 0;                    // in the process
  std::optional<Clock::time_point> due;  // set when the stream has come to it
};

/// What the stream holds of it.
struct ncclComm::Queued {
  std::shared_ptr<ncclComm> communicator;
  std::shared_ptr<Operation> operation;
};

struct ncclComm::Split {
  SplitTalk talk;
  bool blocking = true;
  ncclComm_t* result = nullptr;
  std::shared_ptr<ncclComm> child{};
};

ncclComm::ncclComm(const CommunicatorArgs& args, std::shared_ptr<Process> process)
    : args_(args),
      process_(std::move(process)),
      segment_(Segment::open(args.segment, args.size)),
      place_{.segment = segment_.get(), .rank = args.rank, .size = args.size} {
  const char* const fault = args.is_split_off ? "split-hangs" : "init-hangs";
  if (segment_ == nullptr) {
    fail(ncclSystemError, "the process that made the unique id is gone");
  } else if (!process_->faults.has(fault)) {
    segment_->join(args.rank, args.device);
  }
}

ncclComm::~ncclComm() = default;

ncclResult_t ncclComm::advance() {
  std::unique_lock lock(mutex_);
  return advance(lock);
}

ncclResult_t ncclComm::wait() {
  ncclResult_t result = advance();
  while (result == ncclInProgress) {
    std::this_thread::sleep_for(kPause);
    result = advance();
  }
  return result;
}

ncclResult_t ncclComm::advance(std::unique_lock<std::mutex>& lock) {
  switch (state_) {
    case State::kMeeting:
      meet();
      break;
    case State::kLaunching:
      // The first time it is still in progress: whoever does not ask again is too early.
      if (std::exchange(asked_, true)) return enqueue(lock);
      break;
    case State::kSplitting:
      advance_split();
      break;
    case State::kFinalizing:
      if (operations_.empty()) state_ = State::kReady;
      break;
    case State::kReady:
    case State::kFailed:
      break;
  }
  if (state_ == State::kFailed) return result_;
  return state_ == State::kReady ? ncclSuccess : ncclInProgress;
}

void ncclComm::meet() {
  if (!segment_->is_complete()) return;
  std::set<int> devices;
  for (int rank = 0; rank < size(); ++rank) devices.insert(segment_->device_of(rank));
  if (static_cast<int>(devices.size()) < size()) {
    fail(ncclInvalidUsage, fmt::format("{} ranks share {} devices", size(), devices.size()));
  } else {
    state_ = State::kReady;
  }
}

ncclResult_t ncclComm::require_ready() const {
  if (state_ == State::kReady) return ncclSuccess;
  if (state_ == State::kFailed) return result_;
  fmt::print(stderr, "nccl stand-in: rank {}: a call before the last one had succeeded\n", rank());
  return ncclInvalidArgument;
}

ncclResult_t ncclComm::launch(std::vector<Call> calls, cudaStream_t stream) {
  std::unique_lock lock(mutex_);
  if (const ncclResult_t result = require_ready(); result != ncclSuccess) return result;
  int64_t number = 0;
  {
    const std::lock_guard process_lock(process_->mutex);
    number = ++process_->operations;
  }
  if (process_->faults.has("call-hangs", number)) {
    lock.unlock();
    hang();
  }
  const uint64_t pretended = process_->faults.has("miscount", number) ? 1 : 0;
  launching_ = std::make_shared<Operation>(place_, std::move(calls), pretended);
  launching_->stream = stream;
  launching_->number = number;
  operations_.push_back(launching_);
  state_ = State::kLaunching;
  asked_ = false;
  return is_blocking() ? enqueue(lock) : ncclInProgress;
}

ncclResult_t ncclComm::enqueue(std::unique_lock<std::mutex>& lock) {
  const std::shared_ptr<Operation> operation = std::exchange(launching_, nullptr);
  if (operation == nullptr) return ncclInProgress;  // another thread is at it
  auto queued = std::make_unique<Queued>(Queued{shared_from_this(), operation});
  // The runtime may run steps in this call.
  lock.unlock();
  const int error = ptxStreamEnqueue(operation->stream, &ncclComm::step, queued.get());
  lock.lock();
  if (error == 0) {
    static_cast<void>(queued.release());  // now the last step's
    if (state_ == State::kLaunching) state_ = State::kReady;
  } else {
    fail(ncclUnhandledCudaError, fmt::format("the stream refuses work: error {}", error));
  }
  return state_ == State::kFailed ? result_ : ncclSuccess;
}

int ncclComm::step(void* state) {
  auto* const queued = static_cast<Queued*>(state);
  const int result = queued->communicator->step(*queued->operation);
  if (result != 0) delete queued;
  return result;
}

/// As NCCL's kernels do, it hangs after a failure, until somebody aborts.
int ncclComm::step(Operation& operation) {
  const std::lock_guard lock(mutex_);
  if (aborted_) return 1;
  if (state_ == State::kFailed || operations_.front().get() != &operation) return 0;
  if (!is_due(operation)) return 0;
  switch (operation.exchange.advance()) {
    case Exchange::State::kUnderWay:
      return 0;
    case Exchange::State::kComplete:
      operations_.pop_front();
      return 1;
    case Exchange::State::kMismatch:
      fail(ncclInvalidUsage, operation.exchange.error());
      return 0;
    case Exchange::State::kBadMemory:
      fail(ncclUnhandledCudaError, operation.exchange.error());
      return -1;
  }
  return 0;
}

/// False while an injected fault holds the operation back.
bool ncclComm::is_due(Operation& operation) {
  const Faults& faults = process_->faults;
  if (!operation.due) operation.due = Clock::now() + faults.delay(operation.number);
  if (faults.has("async-error", operation.number)) {
    fail(ncclRemoteError, fmt::format("injected at operation {}", operation.number));
    return false;
  }
  return !faults.has("stuck", operation.number) && Clock::now() >= *operation.due;
}

ncclResult_t ncclComm::split(int color, int key, bool blocking, ncclComm_t* child) {
  const std::lock_guard lock(mutex_);
  if (const ncclResult_t result = require_ready(); result != ncclSuccess) return result;
  *child = nullptr;
  split_ = std::make_unique<Split>(
      Split{.talk = SplitTalk(place_, color, key), .blocking = blocking, .result = child});
  state_ = State::kSplitting;
  return ncclInProgress;
}

void ncclComm::advance_split() {
  if (!operations_.empty()) return;
  if (split_->child == nullptr) {
    const Exchange::State state = split_->talk.advance();
    if (state == Exchange::State::kUnderWay) return;
    if (state == Exchange::State::kMismatch) return fail(ncclInvalidUsage, split_->talk.error());
    if (!make_child()) {
      split_.reset();
      state_ = State::kReady;
      return;
    }
  }
  const ncclResult_t result = split_->child->advance();
  if (result == ncclInProgress) return;
  if (result != ncclSuccess) return fail(result, split_->child->error());
  *split_->result = keep_communicator(std::move(split_->child));
  split_.reset();
  state_ = State::kReady;
}

/// False when this rank belongs to no group.
bool ncclComm::make_child() {
  const std::optional<NewGroup> group = split_->talk.group();
  if (!group) return false;
  split_->child = std::make_shared<ncclComm>(CommunicatorArgs{.segment = group->segment,
                                                              .rank = group->rank,
                                                              .size = group->size,
                                                              .device = device(),
                                                              .blocking = split_->blocking,
                                                              .is_split_off = true},
                                             process_);
  return true;
}

ncclResult_t ncclComm::finalize() {
  const std::lock_guard lock(mutex_);
  if (const ncclResult_t result = require_ready(); result != ncclSuccess) return result;
  state_ = State::kFinalizing;
  return ncclInProgress;
}

void ncclComm::abort() {
  if (process_->faults.has("abort-hangs")) hang();
  const std::lock_guard lock(mutex_);
  aborted_ = true;
  if (state_ != State::kFailed) fail(ncclInternalError, "aborted");
}

std::string ncclComm::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void ncclComm::fail(ncclResult_t result, const std::string& error) {
  state_ = State::kFailed;
  result_ = result;
  error_ = error;
}
