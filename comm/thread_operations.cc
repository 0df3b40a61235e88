#include "comm/thread_operations.h"

#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "comm/summation.h"

namespace reformer::threads {
namespace {

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

std::vector<View> slices_of(const Operations& operations, const Slice& slice) {
  std::vector<View> views;
  for (const Operation& operation : operations) views.push_back(slice.of(operation.data));
  return views;
}

void all_reduce(const Operations& operations) {
  const Slice all{0, operations[0].data.elements()};
  if (all.elements() == 0) return;
  const Tensor sum = sum_of(slices_of(operations, all));
  for (const Operation& operation : operations) copy(sum.view(), operation.data);
}

void reduce_scatter(const Operations& operations) {
  for (size_t rank = 0; rank < operations.size(); ++rank) {
    const Slice& slice = operations[rank].slices[rank];
    if (slice.elements() == 0) continue;
    const std::vector<View> terms = slices_of(operations, slice);
    copy(sum_of(terms).view(), terms[rank]);
  }
}

void all_gather(const Operations& operations) {
  for (size_t from = 0; from < operations.size(); ++from) {
    const Slice& slice = operations[from].slices[from];
    if (slice.elements() == 0) continue;
    const std::vector<View> views = slices_of(operations, slice);
    for (const View& to : views) copy(views[from], to);
  }
}

void broadcast(const Operations& operations) {
  const Operation& root = operations[static_cast<size_t>(operations[0].peer)];
  for (const Operation& operation : operations) copy(root.data, operation.data);
}

void all_to_all(const Operations& operations) {
  for (size_t from = 0; from < operations.size(); ++from) {
    for (size_t to = 0; to < operations.size(); ++to) {
      const Operation& sender = operations[from];
      const Operation& receiver = operations[to];
      if (sender.slices[to].elements() == 0) continue;
      copy(sender.slices[to].of(sender.data), receiver.received_slices[from].of(receiver.received));
    }
  }
}

void exclusive_scan(const Operations& operations) {
  const int64_t count = operations[0].data.elements();
  std::vector<uint64_t> before(static_cast<size_t>(count), 0);
  for (const Operation& operation : operations) {
    for (int64_t i = 0; i < count; ++i) {
      int64_t& value = operation.data.data<int64_t>()[i];
      const uint64_t sum = before[static_cast<size_t>(i)];
      before[static_cast<size_t>(i)] += static_cast<uint64_t>(value);
      value = static_cast<int64_t>(sum);
    }
  }
}

/// Rank r's slice q of what it sends has as many elements as rank q has room for.
bool counts_match(const Operations& operations) {
  for (size_t from = 0; from < operations.size(); ++from) {
    for (size_t to = 0; to < operations.size(); ++to) {
      if (operations[from].slices[to].elements() !=
          operations[to].received_slices[from].elements()) {
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

}  // namespace

std::string disagreement(const Operations& operations) {
  const Operation& first = operations[0];
  for (size_t rank = 1; rank < operations.size(); ++rank) {
    if (agree(first, operations[rank])) continue;
    return fmt::format("the ranks disagree: rank 0 is at {}, rank {} at {}", describe(first), rank,
                       describe(operations[rank]));
  }
  if (first.kind == OperationKind::kAllToAll && !counts_match(operations)) {
    return fmt::format("the counts of {} do not match", describe(first));
  }
  return "";
}

void carry_out(const Operations& operations) {
  switch (operations[0].kind) {
    case OperationKind::kAllReduceSum:
      return all_reduce(operations);
    case OperationKind::kReduceScatterSum:
      return reduce_scatter(operations);
    case OperationKind::kAllGather:
      return all_gather(operations);
    case OperationKind::kBroadcast:
      return broadcast(operations);
    case OperationKind::kAllToAll:
      return all_to_all(operations);
    case OperationKind::kExclusiveScanSum:
      return exclusive_scan(operations);
    case OperationKind::kSplit:
    case OperationKind::kBarrier:
    case OperationKind::kSend:
    case OperationKind::kReceive:
      return;
  }
}

void deliver(const Operation& send, const Operation& receive) {
  copy(send.data, receive.data);
}

}  // namespace reformer::threads
