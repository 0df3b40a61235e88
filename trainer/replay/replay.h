// Replays the log of a step on a machine that is only described: a prediction of its time.
//
// A rank is two queues. Ops run one after the other in the first. Operations between ranks run one
// after the other in the second, in the order of their starts, each not before the ops that precede
// its start are done; a wait holds the first queue until the operation is complete. That is what a
// GPU does with NCCL on a stream of its own (comm/README.md). All ranks are taken to be alike:
// nobody comes late to an operation, and ops are not slowed down by operations beside them.
// README.md in this folder has all that is assumed.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "trainer/replay/step_log.h"

namespace reformer {

/// Of the operations of one purpose (purpose_of in comm/traffic.h).
struct PurposeTime {
  int64_t operations = 0;
  int64_t bytes = 0;   // OperationBytes::busiest
  double seconds = 0;  // under way
  double exposed = 0;  // waited for

  friend bool operator==(const PurposeTime&, const PurposeTime&) = default;
};

struct StepTime {
  double seconds = 0;        // of the whole step: step_seconds, ops and waits
  double compute = 0;        // ops
  double communication = 0;  // operations between ranks under way, hidden or not
  double exposed = 0;        // waits
  std::map<std::string, PurposeTime> by_purpose{};

  friend bool operator==(const StepTime&, const StepTime&) = default;
};

/// Messages to and from single ranks that are started one after the other, without a wait or a
/// collective between them, are under way together.
StepTime replay_step(const StepLog& log, const replay::Machine& machine);

}  // namespace reformer
