#include "comm/nccl_operations.h"

#include "comm/nccl_calls.h"

namespace reformer::nccl {
namespace {

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return ncclFloat32;
    case DType::kFloat64:
      return ncclFloat64;
    case DType::kFixed32:
      return ncclUint32;
    case DType::kInt32:
      return ncclInt32;
    case DType::kInt64:
      return ncclInt64;
    case DType::kUint8:
      return ncclUint8;
    case DType::kBFloat16:
      return ncclBfloat16;
  }
  CHECK(!"a dtype that NCCL has");
}

size_t count_of(const View& view) {
  return static_cast<size_t>(view.elements());
}

/// Slice of `rank`, in the view that is sent.
View part(const Operation& operation, int rank) {
  return operation.slices[static_cast<size_t>(rank)].of(operation.data);
}

/// True for slices that NCCL knows as such: of one length, one after the other in rank order.
bool are_regular(const std::vector<Slice>& slices) {
  for (size_t i = 1; i < slices.size(); ++i) {
    if (slices[i].begin != slices[i - 1].end) return false;
    if (slices[i].elements() != slices[0].elements()) return false;
  }
  return true;
}

/// The first error of a series of calls.
class Calls {
 public:
  void add(ncclResult_t result) {
    if (result_ == ncclSuccess && result != ncclInProgress) result_ = result;
  }
  ncclResult_t result() const { return result_; }

 private:
  ncclResult_t result_ = ncclSuccess;
};

struct Target {
  ncclComm_t communicator;
  cudaStream_t stream;
};

ncclResult_t reduce_scatter(const Operation& operation, const Group& group, const Target& to) {
  const ncclDataType_t type = type_of(operation.data.dtype());
  if (are_regular(operation.slices)) {
    const View own = part(operation, group.rank);
    return ncclReduceScatter(part(operation, 0).raw(), own.raw(), count_of(own), type, ncclSum,
                             to.communicator, to.stream);
  }
  Calls calls;
  for (int root = 0; root < group.size; ++root) {
    const View slice = part(operation, root);
    if (slice.elements() == 0) continue;
    calls.add(ncclReduce(slice.raw(), slice.raw(), count_of(slice), type, ncclSum, root,
                         to.communicator, to.stream));
  }
  return calls.result();
}

ncclResult_t all_gather(const Operation& operation, const Group& group, const Target& to) {
  const ncclDataType_t type = type_of(operation.data.dtype());
  if (are_regular(operation.slices)) {
    const View own = part(operation, group.rank);
    return ncclAllGather(own.raw(), part(operation, 0).raw(), count_of(own), type, to.communicator,
                         to.stream);
  }
  Calls calls;
  for (int root = 0; root < group.size; ++root) {
    const View slice = part(operation, root);
    if (slice.elements() == 0) continue;
    calls.add(ncclBroadcast(slice.raw(), slice.raw(), count_of(slice), type, root, to.communicator,
                            to.stream));
  }
  return calls.result();
}

ncclResult_t all_to_all(const Operation& operation, const Group& group, const Target& to) {
  const ncclDataType_t type = type_of(operation.data.dtype());
  Calls calls;
  for (int peer = 0; peer < group.size; ++peer) {
    if (operation.slices[static_cast<size_t>(peer)].elements() > 0) {
      const View sent = part(operation, peer);
      calls.add(ncclSend(sent.raw(), count_of(sent), type, peer, to.communicator, to.stream));
    }
    const Slice& slice = operation.received_slices[static_cast<size_t>(peer)];
    if (slice.elements() > 0) {
      const View received = slice.of(operation.received);
      calls.add(
          ncclRecv(received.raw(), count_of(received), type, peer, to.communicator, to.stream));
    }
  }
  return calls.result();
}

bool is_on_device(const View& view) {
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, view.raw()), "cudaPointerGetAttributes");
  return attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
}

}  // namespace

bool is_on_device(const Operation& operation) {
  const bool sends = operation.data.elements() > 0;
  const bool receives = operation.received.elements() > 0;
  if (!sends && !receives) return false;
  const bool on_device = is_on_device(sends ? operation.data : operation.received);
  if (sends && receives) CHECK_EQ(is_on_device(operation.received), on_device);
  return on_device;
}

ncclResult_t enqueue(const Operation& operation, const Group& group, cudaStream_t stream) {
  const View& data = operation.data;
  const Target to{.communicator = *group.handle, .stream = stream};
  switch (operation.kind) {
    case OperationKind::kAllReduceSum:
      return ncclAllReduce(data.raw(), data.raw(), count_of(data), type_of(data.dtype()), ncclSum,
                           to.communicator, to.stream);
    case OperationKind::kReduceScatterSum:
      return reduce_scatter(operation, group, to);
    case OperationKind::kAllGather:
      return all_gather(operation, group, to);
    case OperationKind::kBroadcast:
      return ncclBroadcast(data.raw(), data.raw(), count_of(data), type_of(data.dtype()),
                           operation.peer, to.communicator, to.stream);
    case OperationKind::kAllToAll:
      return all_to_all(operation, group, to);
    case OperationKind::kSend:
      return ncclSend(data.raw(), count_of(data), type_of(data.dtype()), operation.peer,
                      to.communicator, to.stream);
    case OperationKind::kReceive:
      return ncclRecv(data.raw(), count_of(data), type_of(data.dtype()), operation.peer,
                      to.communicator, to.stream);
    case OperationKind::kExclusiveScanSum:
    case OperationKind::kBarrier:
    case OperationKind::kSplit:
      break;
  }
  CHECK(!"an operation on device memory");
}

}  // namespace reformer::nccl
