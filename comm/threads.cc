#include "comm/threads.h"

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>

#include <fmt/format.h>

#include "comm/thread_operations.h"
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
      throw CommError(fmt::format("[comm] {} has waited {} for the other ranks",
                                  describe(operation), describe(setup().timeout)));
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
    const std::string reason = threads::disagreement(meeting->operations);
    if (!reason.empty()) {
      group_->world->fail(reason);
      group_->world->require_sound();
    }
    threads::carry_out(meeting->operations);
    if (operation.kind == OperationKind::kSplit) make_groups(*meeting, group_->world);
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
    threads::deliver(meeting->operations[0], meeting->operations[1]);
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
