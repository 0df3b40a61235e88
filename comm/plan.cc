#include "comm/plan.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/arena.h"

namespace reformer {

std::unique_ptr<Completion> PlanCommunicator::begin(const Operation& operation) {
  if (operation.kind == OperationKind::kAllToAll && operation.received.defined() &&
      !is_planned(operation.received)) {
    for (int rank = 0; rank < size(); ++rank) {
      const auto index = static_cast<size_t>(rank);
      const View sent = operation.slices[index].of(operation.data);
      const View received = operation.received_slices[index].of(operation.received);
      const size_t bytes = std::min(sent.bytes(), received.bytes());
      if (bytes > 0) std::memcpy(received.raw(), sent.raw(), bytes);
    }
  }
  return completed();
}

std::unique_ptr<Communicator> PlanCommunicator::begin_split(const Operation&) {
  return std::make_unique<PlanCommunicator>(rank(), size(), setup());
}

}  // namespace reformer
