#include "trainer/replay/replay.h"

#include <algorithm>
#include <vector>

#include "comm/traffic.h"
#include "kernels/core/check.h"
#include "trainer/replay/machine.h"

namespace reformer {
namespace {

class Simulation {
 public:
  explicit Simulation(const replay::Machine& machine)
      : machine_(machine), now_(machine.step_seconds()) {}

  void operator()(const LoggedOp& op) {
    const double seconds = seconds_of_op(machine_, op.op, op.cost);
    result_.compute += seconds;
    now_ += seconds;
  }

  void operator()(const LoggedStart& start) {
    PurposeTime& purpose = purpose_of_tag(start.tag);
    ++purpose.operations;
    purpose.bytes += start.bytes.busiest;
    const bool message =
        start.kind == OperationKind::kSend || start.kind == OperationKind::kReceive;
    if (!message || (!messages_.empty() && messages_.front().group != start.group)) send_messages();
    if (message) {
      messages_.push_back(start);
      messages_ready_ = now_;
      return;
    }
    const double seconds = seconds_of_collective(machine_, start.kind, start.group, start.bytes);
    purpose.seconds += seconds;
    under_way_[start.id] = {.end = occupy_network(now_, seconds), .purpose = &purpose};
  }

  void operator()(const LoggedWait& wait) {
    send_messages();
    const auto found = under_way_.find(wait.id);
    CHECK(found != under_way_.end());
    const double exposed = std::max(0.0, found->second.end - now_);
    found->second.purpose->exposed += exposed;
    result_.exposed += exposed;
    now_ += exposed;
    under_way_.erase(found);
  }

  StepTime result() && {
    CHECK(messages_.empty() && under_way_.empty());
    result_.seconds = now_;
    return std::move(result_);
  }

 private:
  struct UnderWay {
    double end = 0;
    PurposeTime* purpose = nullptr;
  };

  PurposeTime& purpose_of_tag(const std::string& tag) {
    return result_.by_purpose[purpose_of(tag)];
  }

  /// Returns when an operation that may begin at `ready` ends.
  double occupy_network(double ready, double seconds) {
    result_.communication += seconds;
    network_free_ = std::max(ready, network_free_) + seconds;
    return network_free_;
  }

  void send_messages() {
    if (messages_.empty()) return;
    struct Direction {
      int64_t messages = 0;
      int64_t bytes = 0;
    } out, in;
    for (const LoggedStart& message : messages_) {
      Direction& direction = message.kind == OperationKind::kSend ? out : in;
      ++direction.messages;
      direction.bytes += message.bytes.busiest;
    }
    const double seconds =
        seconds_of_messages(machine_, messages_.front().group, std::max(out.messages, in.messages),
                            std::max(out.bytes, in.bytes));
    const double end = occupy_network(messages_ready_, seconds);
    purpose_of_tag(messages_.front().tag).seconds += seconds;
    for (const LoggedStart& message : messages_) {
      under_way_[message.id] = {.end = end, .purpose = &purpose_of_tag(message.tag)};
    }
    messages_.clear();
  }

  const replay::Machine& machine_;
  StepTime result_;
  double now_;               // the queue of ops is here
  double network_free_ = 0;  // the queue of operations is empty from here on
  std::map<uint64_t, UnderWay> under_way_;
  std::vector<LoggedStart> messages_;  // started, and not yet under way
  double messages_ready_ = 0;
};

}  // namespace

StepTime replay_step(const StepLog& log, const replay::Machine& machine) {
  Simulation simulation(machine);
  for (const StepEvent& event : log.events) std::visit(simulation, event);
  return std::move(simulation).result();
}

}  // namespace reformer
