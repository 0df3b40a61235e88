#include "trainer/replay/step_recorder.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "comm/traffic.h"
#include "kernels/observed_backend.h"

namespace reformer {
namespace {

int64_t bytes_in(const View& view) {
  return view.defined() ? static_cast<int64_t>(view.bytes()) : 0;
}

/// Of slices that each go to, or come from, all other ranks.
int64_t busiest_of_slices(const Operation& operation, int64_t size) {
  const auto [least, most] = std::minmax_element(
      operation.slices.begin(), operation.slices.end(),
      [](const Slice& a, const Slice& b) { return a.elements() < b.elements(); });
  int64_t all = 0;
  for (const Slice& slice : operation.slices) all += slice.elements();
  const int64_t elements = std::max(most->elements() * (size - 1), all - least->elements());
  return elements * static_cast<int64_t>(size_of(operation.data.dtype()));
}

int64_t busiest(const Operation& operation, int rank, int size) {
  switch (operation.kind) {
    case OperationKind::kReduceScatterSum:
    case OperationKind::kAllGather:
      return busiest_of_slices(operation, size);
    case OperationKind::kAllToAll: {
      Operation back = operation;
      std::swap(back.data, back.received);
      std::swap(back.slices, back.received_slices);
      return std::max(bytes_sent(operation, rank, size), bytes_sent(back, rank, size));
    }
    case OperationKind::kBroadcast:
      return bytes_sent(operation, operation.peer, size);
    case OperationKind::kExclusiveScanSum:
      return bytes_sent(operation, 0, size);
    case OperationKind::kReceive:
      return bytes_in(operation.data);
    case OperationKind::kAllReduceSum:
    case OperationKind::kSend:
    case OperationKind::kBarrier:
    case OperationKind::kSplit:
      break;
  }
  return bytes_sent(operation, rank, size);
}

std::vector<PeerBytes> peers_of(const Operation& operation, int rank, int size) {
  std::vector<PeerBytes> peers;
  if (operation.kind != OperationKind::kAllToAll) return peers;
  const auto bytes_with = [](const std::vector<Slice>& slices, const View& data, int other) {
    const int64_t elements = slices[static_cast<size_t>(other)].elements();
    return elements == 0 ? 0 : elements * static_cast<int64_t>(size_of(data.dtype()));
  };
  for (int other = 0; other < size; ++other) {
    const PeerBytes peer{
        .rank = other,
        .sent = bytes_with(operation.slices, operation.data, other),
        .received = bytes_with(operation.received_slices, operation.received, other)};
    if (other != rank && peer.sent + peer.received > 0) peers.push_back(peer);
  }
  return peers;
}

}  // namespace

OperationBytes bytes_of(const Operation& operation, int rank, int size) {
  return {.whole = bytes_in(operation.data),
          .busiest = busiest(operation, rank, size),
          .peers = peers_of(operation, rank, size)};
}

std::unique_ptr<Backend> StepRecorder::record(Backend& backend) {
  const bool asynchronous = backend.stream() != nullptr;
  return make_observed_backend(backend, [this, &backend, asynchronous](
                                            std::string_view op, const OpCost& cost,
                                            const std::function<void()>& run) {
    if (asynchronous) backend.synchronize();
    const auto begin = std::chrono::steady_clock::now();
    run();
    if (asynchronous) backend.synchronize();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    log_.events.push_back(LoggedOp{
        .op = std::string(op), .cost = cost, .seconds = backend.computes() ? seconds.count() : 0});
  });
}

StepLog StepRecorder::take_log() {
  return std::exchange(log_, {});
}

void StepRecorder::started(const Communicator& group, const Operation& operation, uint64_t id) {
  log_.events.push_back(LoggedStart{.id = id,
                                    .kind = operation.kind,
                                    .tag = operation.tag,
                                    .group = shape_of(group),
                                    .bytes = bytes_of(operation, group.rank(), group.size())});
}

void StepRecorder::waited(uint64_t id) {
  log_.events.push_back(LoggedWait{id});
}

GroupShape StepRecorder::shape_of(const Communicator& group) const {
  const bool between_buckets = groups_ != nullptr && &group == groups_->buckets.get();
  return {.size = group.size(),
          .stride = between_buckets ? groups_->mesh.head_size : 1,
          .rank = group.rank()};
}

}  // namespace reformer
