// What one rank does in one training step, in order: its ops, and what it starts and waits for
// among the ranks.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "comm/operation.h"
#include "kernels/op_cost.h"
#include "trainer/replay/network_time.h"

namespace reformer {

struct LoggedOp {
  std::string op;  // as in observed_backend.h
  OpCost cost{};
  double seconds = 0;  // that it took; 0 where it was only planned
};

struct LoggedStart {
  uint64_t id = 0;
  OperationKind kind = OperationKind::kBarrier;
  std::string tag{};
  GroupShape group{};
  OperationBytes bytes{};
};

struct LoggedWait {
  uint64_t id = 0;
};

using StepEvent = std::variant<LoggedOp, LoggedStart, LoggedWait>;

struct StepLog {
  std::vector<StepEvent> events;  // every operation that is started is waited for
};

}  // namespace reformer
