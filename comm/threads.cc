#include "comm/threads.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>

#include <fmt/format.h>

#include "comm/summation.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

/// What all ranks share. Memory of ranks is touched under the mutex alone.
struct World {
  std::mutex mutex;
  std::condition_variable changed;
  std::string failure;  // why all operations throw; empty while all is well

  /// The mutex must be held.
  void fail(const std::string& reason) {
    if (failure.empty()) failure = reason;
    changed.notify_all();
  }
  void require_sound() const {
    if (!failure.empty()) throw CommError("[comm] " + failure);
  }
};

struct Group;

/// The ranks that have come to one operation so far. The last one carries it out for all.
struct Meeting {
  std::vector<Operation> operations;  // by place
  size_t arrived = 0;
  bool complete = false;
  std::vector<std::shared_ptr<Group>> groups;  // kSplit: the new group of each rank,
  std::vector<int> new_ranks;                  // and its rank there
};

struct Group {
  Group(std::shared_ptr<World> in_world, int ranks) : world(std::move(in_world)), size(ranks) {}

  const std::shared_ptr<World> world;
  const int size;
  // Guarded by world->mutex.
  std::map<int64_t, std::shared_ptr<Meeting>> collectives;  // by sequence
  using Message = std::tuple<int, int, int64_t>;            // from, to, how manieth
  std::map<Message, std::shared_ptr<Meeting>> messages;
};

void copy(const View& from, const View& to) {
  if (from.bytes() > 0 && from.raw() != to.raw()) std::memmove(to.raw(), from.raw(), from.bytes());
}

/// out[r] = Σ over ranks of in[·], for views of equal shape, in rank order.
Tensor sum_of(const std::vector<View>& terms) {
  Tensor sum(terms[0].dtype(), {terms[0].elements()});
  copy(terms[0], sum.view());
  std::vector<View> rest = terms;
  rest[0] = sum.view();
  add_in_order(rest);
  return sum;
}

std::vector<View> slices_of(const Meeting& meeting, const Slice& slice) {
  std::vector<View> views;
  for (const Operation& operation : meeting.operations) views.push_back(slice.of(operation.data));
  return views;
}

void all_reduce(const Meeting& meeting) {
  const Slice all{0, meeting.operations[0].data.elements()};
  if (all.elements() == 0) return;
  const Tensor sum = sum_of(slices_of(meeting, all));
  for (const Operation& operation : meeting.operations) copy(sum.view(), operation.data);
}

void reduce_scatter(const Meeting& meeting) {
  for (size_t rank = 0; rank < meeting.operations.size(); ++rank) {
    const Slice& slice = meeting.operations[rank].slices[rank];
    if (slice.elements() == 0) continue;
    const std::vector<View> terms = slices_of(meeting, slice);
    copy(sum_of(terms).view(), terms[rank]);
  }
}

void all_gather(const Meeting& meeting) {
  for (size_t from = 0; from < meeting.operations.size(); ++from) {
    const Slice& slice = meeting.operations[from].slices[from];
    if (slice.elements() == 0) continue;
    const std::vector<View> views = slices_of(meeting, slice);
    for (const View& to : views) copy(views[from], to);
  }
}

void broadcast(const Meeting& meeting) {
  const Operation& root = meeting.operations[static_cast<size_t>(meeting.operations[0].peer)];
  for (const Operation& operation : meeting.operations) copy(root.data, operation.data);
}

void all_to_all(const Meeting& meeting) {
  for (size_t from = 0; from < meeting.operations.size(); ++from) {
    for (size_t to = 0; to < meeting.operations.size(); ++to) {
      const Operation& sender = meeting.operations[from];
      const Operation& receiver = meeting.operations[to];
      if (sender.slices[to].elements() == 0) continue;
      copy(sender.slices[to].of(sender.data), receiver.received_slices[from].of(receiver.received));
    }
  }
}

void exclusive_scan(const Meeting& meeting) {
  const int64_t count = meeting.operations[0].data.elements();
  std::vector<uint64_t> before(static_cast<size_t>(count), 0);
  for (const Operation& operation : meeting.operations) {
    for (int64_t i = 0; i < count; ++i) {
      int64_t& value = operation.data.data<int64_t>()[i];
      const uint64_t sum = before[static_cast<size_t>(i)];
      before[static_cast<size_t>(i)] += static_cast<uint64_t>(value);
      value = static_cast<int64_t>(sum);
    }
  }
}

/// Rank r's slice q of what it sends has as many elements as rank q has room for.
bool counts_match(const Meeting& meeting) {
  for (size_t from = 0; from < meeting.operations.size(); ++from) {
    for (size_t to = 0; to < meeting.operations.size(); ++to) {
      if (meeting.operations[from].slices[to].elements() !=
          meeting.operations[to].received_slices[from].elements()) {
        return false;
      }
    }
  }
  return true;
}

bool agree(const Operation& a, const Operation& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case OperationKind::kBarrier:
    case OperationKind::kSplit:
      return true;
    case OperationKind::kAllToAll:
      return a.data.dtype() == b.data.dtype();
    default:
      return a.data.dtype() == b.data.dtype() && a.data.elements() == b.data.elements() &&
             a.slices == b.slices && a.peer == b.peer;
  }
}

/// Why the ranks cannot go on together; empty if they can.
std::string disagreement(const Meeting& meeting) {
  const Operation& first = meeting.operations[0];
  for (size_t rank = 1; rank < meeting.operations.size(); ++rank) {
    if (agree(first, meeting.operations[rank])) continue;
    return fmt::format("the ranks disagree: rank 0 is at {}, rank {} at {}", describe(first), rank,
                       describe(meeting.operations[rank]));
  }
  if (first.kind == OperationKind::kAllToAll && !counts_match(meeting)) {
    return fmt::format("the counts of {} do not match", describe(first));
  }
  return "";
}

void make_groups(Meeting& meeting, const std::shared_ptr<World>& world) {
  std::map<int, std::vector<size_t>> members;
  for (size_t rank = 0; rank < meeting.operations.size(); ++rank) {
    members[meeting.operations[rank].peer].push_back(rank);
  }
  meeting.groups.resize(meeting.operations.size());
  meeting.new_ranks.resize(meeting.operations.size());
  for (const auto& [color, ranks] : members) {
    const auto group = std::make_shared<Group>(world, static_cast<int>(ranks.size()));
    for (size_t i = 0; i < ranks.size(); ++i) {
      meeting.groups[ranks[i]] = group;
      meeting.new_ranks[ranks[i]] = static_cast<int>(i);
    }
  }
}

void carry_out(Meeting& meeting, const std::shared_ptr<World>& world) {
  switch (meeting.operations[0].kind) {
    case OperationKind::kAllReduceSum:
      return all_reduce(meeting);
    case OperationKind::kReduceScatterSum:
      return reduce_scatter(meeting);
    case OperationKind::kAllGather:
      return all_gather(meeting);
    case OperationKind::kBroadcast:
      return broadcast(meeting);
    case OperationKind::kAllToAll:
      return all_to_all(meeting);
    case OperationKind::kExclusiveScanSum:
      return exclusive_scan(meeting);
    case OperationKind::kSplit:
      return make_groups(meeting, world);
    case OperationKind::kBarrier:
    case OperationKind::kSend:
    case OperationKind::kReceive:
      return;
  }
}

class ThreadCompletion final : public Completion {
 public:
  ThreadCompletion(std::shared_ptr<World> world, std::shared_ptr<Meeting> meeting, int rank)
      : world_(std::move(world)), meeting_(std::move(meeting)), rank_(rank) {}

  ~ThreadCompletion() override {
    const std::lock_guard lock(world_->mutex);
    if (!meeting_->complete) world_->fail(fmt::format("rank {} has given up", rank_));
  }

  bool wait_until(std::chrono::steady_clock::time_point deadline) override {
    std::unique_lock lock(world_->mutex);
    world_->changed.wait_until(lock, deadline,
                               [this] { return meeting_->complete || !world_->failure.empty(); });
    if (!meeting_->complete) world_->require_sound();
    return meeting_->complete;
  }

 private:
  std::shared_ptr<World> world_;
  std::shared_ptr<Meeting> meeting_;
  int rank_;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(int rank, std::shared_ptr<Group> group, CommunicatorSetup setup)
      : Communicator(rank, group->size, std::move(setup)),
        group_(std::move(group)),
        sent_(static_cast<size_t>(size())),
        received_(static_cast<size_t>(size())) {}

  std::string description() const override {
    return fmt::format("rank {} of {} (threads)", rank(), size());
  }

 private:
  std::unique_ptr<Completion> begin(const Operation& operation) override {
    return std::make_unique<ThreadCompletion>(group_->world, come_to(operation), rank());
  }

  std::unique_ptr<Communicator> begin_split(const Operation& operation) override {
    const std::shared_ptr<Meeting> meeting = come_to(operation);
    ThreadCompletion completion(group_->world, meeting, rank());
    if (!completion.wait_until(std::chrono::steady_clock::now() + setup().timeout)) {
      throw CommError(fmt::format("[comm] {} waits for other ranks", describe(operation)));
    }
    const auto place = static_cast<size_t>(rank());
    return std::make_unique<ThreadCommunicator>(meeting->new_ranks[place], meeting->groups[place],
                                                setup());
  }

  std::shared_ptr<Meeting> come_to(const Operation& operation) {
    World& world = *group_->world;
    const std::lock_guard lock(world.mutex);
    world.require_sound();
    const std::shared_ptr<Meeting> meeting =
        operation.is_collective() ? come_to_collective(operation) : come_to_message(operation);
    if (meeting->arrived == meeting->operations.size()) {
      meeting->complete = true;
      world.changed.notify_all();
    }
    return meeting;
  }

  std::shared_ptr<Meeting> come_to_collective(const Operation& operation) {
    const auto ranks = static_cast<size_t>(size());
    std::shared_ptr<Meeting> meeting = join(group_->collectives, operation.sequence, operation,
                                            static_cast<size_t>(rank()), ranks);
    if (meeting->arrived < ranks) return meeting;
    const std::string reason = disagreement(*meeting);
    if (!reason.empty()) {
      group_->world->fail(reason);
      group_->world->require_sound();
    }
    carry_out(*meeting, group_->world);
    return meeting;
  }

  std::shared_ptr<Meeting> come_to_message(const Operation& operation) {
    const bool sends = operation.kind == OperationKind::kSend;
    const auto peer = static_cast<size_t>(operation.peer);
    const Group::Message message = sends
                                       ? Group::Message{rank(), operation.peer, sent_[peer]++}
                                       : Group::Message{operation.peer, rank(), received_[peer]++};
    std::shared_ptr<Meeting> meeting = join(group_->messages, message, operation, sends ? 0 : 1, 2);
    if (meeting->arrived < 2) return meeting;
    const View& from = meeting->operations[0].data;
    const View& to = meeting->operations[1].data;
    if (from.dtype() != to.dtype() || from.elements() != to.elements()) {
      group_->world->fail(fmt::format("{} meets {}", describe(meeting->operations[0]),
                                      describe(meeting->operations[1])));
      group_->world->require_sound();
    }
    copy(from, to);
    return meeting;
  }

  /// Takes `place` in the meeting that `key` names, which leaves the map when everybody is there.
  template <typename Key>
  std::shared_ptr<Meeting> join(std::map<Key, std::shared_ptr<Meeting>>& meetings, const Key& key,
                                const Operation& operation, size_t place, size_t places) {
    std::shared_ptr<Meeting>& entry = meetings[key];
    if (entry == nullptr) {
      entry = std::make_shared<Meeting>();
      entry->operations.resize(places);
    }
    const std::shared_ptr<Meeting> meeting = entry;
    meeting->operations[place] = operation;
    if (++meeting->arrived == places) meetings.erase(key);
    return meeting;
  }

  std::shared_ptr<Group> group_;
  std::vector<int64_t> sent_;      // messages to each rank so far
  std::vector<int64_t> received_;  // messages from each rank so far
};

}  // namespace

void run_as_threads(int ranks, const std::function<void(Communicator&)>& body,
                    std::chrono::milliseconds timeout) {
  const auto world = std::make_shared<World>();
  const auto group = std::make_shared<Group>(world, ranks);
  std::exception_ptr first;  // guarded by world->mutex
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        ThreadCommunicator communicator(rank, group, {.timeout = timeout});
        body(communicator);
      } catch (const std::exception& error) {
        const std::lock_guard lock(world->mutex);
        if (!first) first = std::current_exception();
        world->fail(fmt::format("rank {} failed: {}", rank, error.what()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace reformer
