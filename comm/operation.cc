#include "comm/operation.h"

#include <fmt/format.h>

namespace reformer {

const char* name_of(OperationKind kind) {
  switch (kind) {
    case OperationKind::kAllReduceSum:
      return "all-reduce";
    case OperationKind::kReduceScatterSum:
      return "reduce-scatter";
    case OperationKind::kAllGather:
      return "all-gather";
    case OperationKind::kBroadcast:
      return "broadcast";
    case OperationKind::kAllToAll:
      return "all-to-all";
    case OperationKind::kSend:
      return "send";
    case OperationKind::kReceive:
      return "receive";
    case OperationKind::kExclusiveScanSum:
      return "exclusive scan";
    case OperationKind::kBarrier:
      return "barrier";
    case OperationKind::kSplit:
      return "split";
  }
  return "unknown operation";
}

std::string describe(const Operation& operation) {
  std::string text = fmt::format("{} #{}", name_of(operation.kind), operation.sequence);
  if (operation.data.defined()) {
    text += fmt::format(" of {} {}", operation.elements(), name_of(operation.data.dtype()));
  }
  switch (operation.kind) {
    case OperationKind::kBroadcast:
    case OperationKind::kReceive:
      text += fmt::format(" from rank {}", operation.peer);
      break;
    case OperationKind::kSend:
      text += fmt::format(" to rank {}", operation.peer);
      break;
    default:
      break;
  }
  return text + fmt::format(" ({})", operation.tag);
}

}  // namespace reformer
