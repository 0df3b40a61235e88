#include "tests/ptx/nccl/group.h"

#include <algorithm>

#include <fmt/format.h>

namespace reformer::ptx::nccl {
namespace {

/// The calls of a group on one communicator.
struct Batch {
  std::shared_ptr<ncclComm> communicator;
  cudaStream_t stream = nullptr;
  std::vector<Call> calls;
};

/// The group that a thread has open.
struct Group {
  int depth = 0;
  ncclResult_t error = ncclSuccess;
  std::vector<Batch> batches;
};

Group& group_of_thread() {
  thread_local Group group;
  return group;
}

ncclResult_t refuse(const std::string& reason) {
  fmt::print(stderr, "nccl stand-in: {}\n", reason);
  return ncclInvalidArgument;
}

ncclResult_t check(const ncclComm& communicator, const Call& call) {
  if (size_of(call.dtype) == 0)
    return refuse(fmt::format("dtype {} is none", static_cast<int>(call.dtype)));
  if (call.op != ncclSum) return refuse("reductions other than sums are not there");
  const bool has_peer =
      call.kind == CallKind::kReduce || call.kind == CallKind::kBroadcast || !call.is_collective();
  if (has_peer && (call.peer < 0 || call.peer >= communicator.size())) {
    return refuse(fmt::format("rank {} is none of {}", call.peer, communicator.size()));
  }
  return ncclSuccess;
}

ncclResult_t add(Group& group, ncclComm_t handle, const Call& call, cudaStream_t stream) {
  std::shared_ptr<ncclComm> communicator = find_communicator(handle);
  if (communicator == nullptr) return refuse("a communicator that is none");
  if (const ncclResult_t result = check(*communicator, call); result != ncclSuccess) return result;
  const auto found =
      std::find_if(group.batches.begin(), group.batches.end(),
                   [&](const Batch& batch) { return batch.communicator == communicator; });
  if (found == group.batches.end()) {
    group.batches.push_back({std::move(communicator), stream, {call}});
  } else if (found->stream != stream) {
    return refuse("several streams in one group are not there");
  } else {
    found->calls.push_back(call);
  }
  return ncclSuccess;
}

}  // namespace

void start_group() {
  ++group_of_thread().depth;
}

bool is_in_group() {
  return group_of_thread().depth > 0;
}

ncclResult_t end_group() {
  Group& group = group_of_thread();
  if (group.depth == 0) return ncclInvalidUsage;
  if (--group.depth > 0) return ncclSuccess;
  const Group complete = std::exchange(group, Group{});
  ncclResult_t result = complete.error;
  for (const Batch& batch : complete.batches) {
    if (result != ncclSuccess && result != ncclInProgress) break;
    const ncclResult_t launched = batch.communicator->launch(batch.calls, batch.stream);
    if (launched != ncclSuccess) result = launched;
  }
  return result;
}

ncclResult_t add_call(ncclComm_t communicator, const Call& call, cudaStream_t stream) {
  start_group();
  Group& group = group_of_thread();
  const ncclResult_t added = add(group, communicator, call, stream);
  if (added != ncclSuccess) group.error = added;
  const ncclResult_t ended = end_group();
  return added != ncclSuccess ? added : ended;
}

}  // namespace reformer::ptx::nccl
