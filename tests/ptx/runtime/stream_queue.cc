#include "tests/ptx/runtime/stream_queue.h"

#include <algorithm>
#include <utility>

namespace reformer::ptx {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPause = std::chrono::microseconds(50);
/// A wait whose own work cannot go on turns to the others' after this time.
constexpr auto kPatience = std::chrono::milliseconds(2);
/// As on a device, a call that would queue more runs some first.
constexpr size_t kMostPending = 1024;
/// In random order, one of so many calls runs something at once.
constexpr uint64_t kEarlyOneOf = 4;

}  // namespace

/// Guarded by the queue's mutex.
class Operation {
 public:
  uint64_t number = 0;
  int device = 0;
  StreamQueue::Kind kind = StreamQueue::Kind::kDevice;
  Step step;
  std::vector<OperationRef> after;  // with smaller numbers; empty once finished
  bool in_flight = false;
  bool finished = false;
  Clock::time_point finished_at;
  uint64_t tried_in = 0;                           // round
  uint64_t mark = 0;                               // of needed_by
  std::optional<Clock::time_point> stalled_since;  // as polls have seen it
};

StreamQueue::StreamQueue(QueueSettings settings, int devices)
    : settings_(settings), errors_(static_cast<size_t>(devices)), random_(settings.seed) {
  for (int device = 0; device < devices; ++device) {
    defaults_.push_back(std::make_unique<Stream>(Stream{.device = device, .last = {}}));
  }
}

StreamQueue::~StreamQueue() {
  stop();
  for (const auto& [number, operation] : pending_) operation->after.clear();
}

Stream* StreamQueue::create_stream(int device, bool blocking, int priority) {
  const Lock lock(mutex_);
  auto stream = std::make_unique<Stream>(
      Stream{.device = device, .blocking = blocking, .priority = priority, .last = {}});
  Stream* const result = stream.get();
  streams_.emplace(result, std::move(stream));
  return result;
}

bool StreamQueue::is_stream(const Stream* stream) const {
  const Lock lock(mutex_);
  const auto is_it = [&](const auto& candidate) { return candidate.get() == stream; };
  return streams_.contains(stream) || std::any_of(defaults_.begin(), defaults_.end(), is_it);
}

void StreamQueue::destroy_stream(Stream* stream) {
  Lock lock(mutex_);
  const auto found = streams_.find(stream);
  const std::unique_ptr<Stream> destroyed = std::move(found->second);
  streams_.erase(found);
  // The default stream has to follow this work still.
  if (destroyed->blocking && destroyed->last && !destroyed->last->finished) {
    push(lock, default_stream(destroyed->device), {}, destroyed->last, Kind::kDevice);
  }
}

OperationRef StreamQueue::push(Stream* stream, Step step, OperationRef after, Kind kind) {
  Lock lock(mutex_);
  OperationRef operation = push(lock, stream, std::move(step), std::move(after), kind);
  run_early(lock);
  return operation;
}

OperationRef StreamQueue::push(Lock&, Stream* stream, Step step, OperationRef after, Kind kind) {
  last_call_ = Clock::now();
  auto operation = std::make_shared<Operation>();
  operation->number = ++operations_;
  operation->device = stream->device;
  operation->kind = kind;
  operation->step = std::move(step);
  const auto follow = [&](const OperationRef& earlier) {
    if (earlier && !earlier->finished) operation->after.push_back(earlier);
  };
  follow(stream->last);
  follow(after);
  Stream* const legacy = default_stream(stream->device);
  if (stream == legacy) {
    for (const auto& [key, other] : streams_) {
      if (other->blocking && other->device == stream->device) follow(other->last);
    }
  } else if (stream->blocking) {
    follow(legacy->last);
  }
  stream->last = operation;
  pending_.emplace(operation->number, operation);
  if (!attendant_.joinable() && !stopping_) attendant_ = std::thread([this] { attend(); });
  return operation;
}

OperationRef StreamQueue::last(const Stream* stream) const {
  const Lock lock(mutex_);
  return stream->last;
}

std::optional<Clock::time_point> StreamQueue::finished_at(const OperationRef& operation) const {
  const Lock lock(mutex_);
  if (!operation->finished) return std::nullopt;
  return operation->finished_at;
}

void StreamQueue::wait(const OperationRef& operation) {
  Lock lock(mutex_);
  last_call_ = Clock::now();
  wait(lock, operation);
}

void StreamQueue::wait_device(int device) {
  Lock lock(mutex_);
  Operations operations;
  for (const auto& [number, operation] : pending_) {
    if (operation->device == device) operations.push_back(operation);
  }
  if (settings_.order == QueueOrder::kLate) std::reverse(operations.begin(), operations.end());
  for (const OperationRef& operation : operations) wait(lock, operation);
}

bool StreamQueue::poll(const OperationRef& operation) {
  Lock lock(mutex_);
  if (!operation || operation->finished) return true;
  const Clock::time_point now = Clock::now();
  last_call_ = now;
  const auto stalled_since = operation->stalled_since.value_or(now);
  const bool others = settings_.order == QueueOrder::kEager || now - stalled_since > kPatience;
  ++round_;
  const Operations needed = needed_by(operation);
  // Steps that are not ready yet are no progress: the next ones get their turn in the same call.
  const uint64_t before = finished_;
  while (finished_ == before && run_one(lock, needed, others)) {
  }
  if (finished_ == before) {
    operation->stalled_since = stalled_since;
  } else {
    operation->stalled_since.reset();
  }
  return operation->finished;
}

int StreamQueue::error(int device) const {
  const Lock lock(mutex_);
  return errors_[static_cast<size_t>(device)];
}

void StreamQueue::fail(int device, int error) {
  const Lock lock(mutex_);
  int& first = errors_[static_cast<size_t>(device)];
  if (first == 0) first = error;
}

void StreamQueue::stop() {
  Lock lock(mutex_);
  stopping_ = true;
  stopped_.notify_all();
  changed_.notify_all();
  changed_.wait(lock, [&] { return !running_; });
  std::thread attendant = std::move(attendant_);
  lock.unlock();
  if (attendant.joinable()) attendant.join();
}

/// The unfinished operations that `target` waits for, and itself, in the order of the calls.
StreamQueue::Operations StreamQueue::needed_by(const OperationRef& target) {
  const uint64_t mark = ++marks_;
  Operations needed;
  Operations unseen{target};
  target->mark = mark;
  while (!unseen.empty()) {
    const OperationRef operation = std::move(unseen.back());
    unseen.pop_back();
    if (operation->finished) continue;
    needed.push_back(operation);
    for (const OperationRef& earlier : operation->after) {
      if (std::exchange(earlier->mark, mark) != mark) unseen.push_back(earlier);
    }
  }
  std::sort(needed.begin(), needed.end(),
            [](const auto& a, const auto& b) { return a->number < b->number; });
  return needed;
}

bool StreamQueue::ready(const Operation& operation) const {
  return !operation.finished && !operation.in_flight && operation.tried_in != round_ &&
         std::all_of(operation.after.begin(), operation.after.end(),
                     [](const OperationRef& earlier) { return earlier->finished; });
}

OperationRef StreamQueue::first_ready(const Operations& operations) const {
  const auto found = std::find_if(operations.begin(), operations.end(),
                                  [&](const OperationRef& each) { return ready(*each); });
  return found == operations.end() ? nullptr : *found;
}

OperationRef StreamQueue::first_ready() const {
  const auto found = std::find_if(pending_.begin(), pending_.end(),
                                  [&](const auto& each) { return ready(*each.second); });
  return found == pending_.end() ? nullptr : found->second;
}

OperationRef StreamQueue::random_ready() {
  Operations candidates;
  for (const auto& [number, operation] : pending_) {
    if (ready(*operation)) candidates.push_back(operation);
  }
  return candidates.empty() ? nullptr : candidates[random_() % candidates.size()];
}

/// Calls the step of one operation: of `needed`, or, with `others`, of any. False where none can be
/// called now.
bool StreamQueue::run_one(Lock& lock, const Operations& needed, bool others) {
  if (running_ || stopping_) return false;
  OperationRef operation;
  if (settings_.order == QueueOrder::kRandom) {
    operation = random_ready();
  } else {
    operation = first_ready(needed);
    if (!operation && others) operation = first_ready();
  }
  if (!operation) return false;
  run(lock, operation);
  return true;
}

void StreamQueue::run(Lock& lock, const OperationRef& operation) {
  const bool alone = operation->kind == Kind::kDevice;
  operation->in_flight = true;
  operation->tried_in = round_;
  if (alone) running_ = true;
  StepResult result;
  if (operation->step && errors_[static_cast<size_t>(operation->device)] == 0) {
    lock.unlock();
    result = operation->step();
    lock.lock();
  }
  if (alone) running_ = false;
  operation->in_flight = false;
  int& error = errors_[static_cast<size_t>(operation->device)];
  if (error == 0) error = result.error;
  if (result.finished || result.error != 0) {
    operation->finished = true;
    operation->finished_at = Clock::now();
    operation->step = nullptr;
    operation->after.clear();
    pending_.erase(operation->number);
    ++finished_;
    ++round_;
  }
  changed_.notify_all();
}

void StreamQueue::wait(Lock& lock, const OperationRef& operation) {
  if (!operation || operation->finished || stopping_) return;
  ++waiting_;
  Operations needed = needed_by(operation);
  Clock::time_point progress = Clock::now();
  while (!operation->finished && !stopping_) {
    const bool others =
        settings_.order == QueueOrder::kEager || Clock::now() - progress > kPatience;
    const uint64_t before = finished_;
    if (run_one(lock, needed, others)) {
      while (!needed.empty() && needed.front()->finished) needed.pop_front();
    } else if (running_) {
      changed_.wait(lock);
    } else {
      ++round_;
      changed_.wait_for(lock, kPause);
      continue;
    }
    if (finished_ != before) progress = Clock::now();
  }
  --waiting_;
  last_call_ = Clock::now();
}

/// What runs before anybody waits for it.
void StreamQueue::run_early(Lock& lock) {
  if (running_) return;
  ++round_;
  if (settings_.order == QueueOrder::kEager) {
    while (run_one(lock, {}, true)) {
    }
  } else if (settings_.order == QueueOrder::kRandom && random_() % kEarlyOneOf == 0) {
    run_one(lock, {}, true);
  }
  while (pending_.size() > kMostPending && run_one(lock, {}, true)) {
  }
}

void StreamQueue::attend() {
  Lock lock(mutex_);
  while (!stopping_) {
    stopped_.wait_for(lock, settings_.idle / 2);
    const auto unattended = [&] {
      return !stopping_ && !running_ && waiting_ == 0 && !pending_.empty() &&
             Clock::now() - last_call_ >= settings_.idle;
    };
    while (unattended()) {
      if (run_one(lock, {}, true)) continue;
      ++round_;
      stopped_.wait_for(lock, kPause);
    }
  }
}

}  // namespace reformer::ptx
