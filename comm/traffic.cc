#include "comm/traffic.h"

namespace reformer {
namespace {

int64_t elements_of(const std::vector<Slice>& slices) {
  int64_t elements = 0;
  for (const Slice& slice : slices) elements += slice.elements();
  return elements;
}

/// Of a rank that is `place` steps behind the root.
int64_t children_in_binomial_tree(int64_t place, int64_t size) {
  int64_t children = 0;
  for (int64_t distance = 1; distance < size && (place & distance) == 0; distance *= 2) {
    if (place + distance < size) ++children;
  }
  return children;
}

int64_t receivers_in_recursive_doubling(int64_t rank, int64_t size) {
  int64_t receivers = 0;
  for (int64_t distance = 1; rank + distance < size; distance *= 2) ++receivers;
  return receivers;
}

int64_t elements_sent(const Operation& operation, int64_t rank, int64_t size) {
  const int64_t all = operation.data.elements();
  const auto own = [&] { return operation.slices[static_cast<size_t>(rank)].elements(); };
  switch (operation.kind) {
    case OperationKind::kAllReduceSum:
      if (operation.data.dtype() == DType::kInt64) return 2 * all * (size - 1) / size;
      return all * (size - 1);
    case OperationKind::kReduceScatterSum:
    case OperationKind::kAllToAll:
      return elements_of(operation.slices) - own();
    case OperationKind::kAllGather:
      return own() * (size - 1);
    case OperationKind::kBroadcast:
      return all * children_in_binomial_tree((rank - operation.peer + size) % size, size);
    case OperationKind::kSend:
      return all;
    case OperationKind::kExclusiveScanSum:
      return all * receivers_in_recursive_doubling(rank, size);
    case OperationKind::kReceive:
    case OperationKind::kBarrier:
    case OperationKind::kSplit:
      return 0;
  }
  return 0;
}

}  // namespace

int64_t bytes_sent(const Operation& operation, int rank, int size) {
  CHECK(0 <= rank && rank < size);
  if (!operation.data.defined()) return 0;
  const auto element = static_cast<int64_t>(size_of(operation.data.dtype()));
  return elements_sent(operation, rank, size) * element;
}

std::string purpose_of(std::string_view tag) {
  const size_t colon = tag.find(": ");
  const std::string_view what = tag.substr(0, colon);
  std::string purpose(what.substr(0, what.find(" of ")));
  if (colon != std::string_view::npos) purpose.append(" ").append(tag.substr(colon + 2));
  return purpose;
}

void Traffic::started(const Communicator& group, const Operation& operation, uint64_t) {
  Sum& sum = by_purpose_[purpose_of(operation.tag)];
  ++sum.operations;
  sum.bytes += bytes_sent(operation, group.rank(), group.size());
}

Traffic::Sum Traffic::total() const {
  Sum total;
  for (const auto& [purpose, sum] : by_purpose_) {
    total.operations += sum.operations;
    total.bytes += sum.bytes;
  }
  return total;
}

}  // namespace reformer
