// NCCL's functions.
#include <cstring>
#include <map>

#include <fmt/format.h>

#include "tests/ptx/nccl/communicator.h"
#include "tests/ptx/nccl/group.h"

namespace reformer::ptx::nccl {
namespace {

static_assert(sizeof(SegmentName) <= NCCL_UNIQUE_ID_BYTES);

/// What lives as long as the process.
struct Library {
  std::mutex mutex;
  std::vector<SegmentFile> unique_ids;  // other processes may come late
  std::map<ncclComm_t, std::shared_ptr<ncclComm>> communicators;
  std::shared_ptr<Process> process;  // set by the first communicator
};

Library& library() {
  static Library* const kept = new Library;  // steps may still run while statics are destroyed
  return *kept;
}

std::shared_ptr<Process> process_of_rank(int rank) {
  Library& kept = library();
  const std::lock_guard lock(kept.mutex);
  if (kept.process == nullptr) {
    kept.process = std::make_shared<Process>();
    kept.process->faults = Faults::from_environment(rank);
  }
  return kept.process;
}

bool is_blocking(const ncclConfig_t* config, bool by_default) {
  if (config == nullptr || config->blocking == NCCL_CONFIG_UNDEF_INT) return by_default;
  return config->blocking != 0;
}

/// What `call` gives for the communicator behind a handle.
template <typename Function>
ncclResult_t with(ncclComm_t handle, const Function& call) {
  const std::shared_ptr<ncclComm> communicator = find_communicator(handle);
  return communicator == nullptr ? ncclInvalidArgument : call(*communicator);
}

}  // namespace

std::shared_ptr<ncclComm> find_communicator(ncclComm_t handle) {
  Library& kept = library();
  const std::lock_guard lock(kept.mutex);
  const auto found = kept.communicators.find(handle);
  return found == kept.communicators.end() ? nullptr : found->second;
}

ncclComm_t keep_communicator(std::shared_ptr<ncclComm> communicator) {
  Library& kept = library();
  const std::lock_guard lock(kept.mutex);
  ncclComm_t const handle = communicator.get();
  kept.communicators.emplace(handle, std::move(communicator));
  return handle;
}

void release_communicator(ncclComm_t handle) {
  Library& kept = library();
  const std::lock_guard lock(kept.mutex);
  kept.communicators.erase(handle);
}

}  // namespace reformer::ptx::nccl

using namespace reformer::ptx::nccl;  // for NCCL's functions, which belong to no namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::optional<SegmentFile> file = SegmentFile::create();
  if (!file) return ncclSystemError;
  *id = {};
  std::memcpy(id->internal, &file->name(), sizeof(SegmentName));
  const std::lock_guard lock(library().mutex);
  library().unique_ids.push_back(std::move(*file));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* communicator, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (communicator == nullptr || ranks < 1 || ranks > Segment::kMaxRanks || rank < 0 ||
      rank >= ranks) {
    return ncclInvalidArgument;
  }
  if (is_in_group()) return ncclInvalidUsage;
  CommunicatorArgs args{.rank = rank, .size = ranks, .blocking = is_blocking(config, true)};
  std::memcpy(&args.segment, id.internal, sizeof(args.segment));
  if (cudaGetDevice(&args.device) != cudaSuccess) return ncclUnhandledCudaError;
  const auto made = std::make_shared<ncclComm>(args, process_of_rank(rank));
  *communicator = keep_communicator(made);
  return made->is_blocking() ? made->wait() : ncclInProgress;
}

ncclResult_t ncclCommInitRank(ncclComm_t* communicator, int ranks, ncclUniqueId id, int rank) {
  return ncclCommInitRankConfig(communicator, ranks, id, rank, nullptr);
}

ncclResult_t ncclCommSplit(ncclComm_t parent, int color, int key, ncclComm_t* child,
                           ncclConfig_t* config) {
  return with(parent, [&](ncclComm& communicator) {
    const bool blocking = is_blocking(config, communicator.is_blocking());
    const ncclResult_t begun = communicator.split(color, key, blocking, child);
    return begun == ncclInProgress && communicator.is_blocking() ? communicator.wait() : begun;
  });
}

ncclResult_t ncclCommFinalize(ncclComm_t handle) {
  return with(handle, [](ncclComm& communicator) {
    const ncclResult_t begun = communicator.finalize();
    return begun == ncclInProgress && communicator.is_blocking() ? communicator.wait() : begun;
  });
}

ncclResult_t ncclCommDestroy(ncclComm_t handle) {
  return with(handle, [&](ncclComm&) {
    release_communicator(handle);
    return ncclSuccess;
  });
}

ncclResult_t ncclCommAbort(ncclComm_t handle) {
  return with(handle, [&](ncclComm& communicator) {
    communicator.abort();
    release_communicator(handle);
    return ncclSuccess;
  });
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t handle, ncclResult_t* error) {
  return with(handle, [&](ncclComm& communicator) {
    *error = communicator.advance();
    return ncclSuccess;
  });
}

ncclResult_t ncclCommCount(const ncclComm_t handle, int* count) {
  return with(handle, [&](const ncclComm& communicator) {
    *count = communicator.size();
    return ncclSuccess;
  });
}

ncclResult_t ncclCommUserRank(const ncclComm_t handle, int* rank) {
  return with(handle, [&](const ncclComm& communicator) {
    *rank = communicator.rank();
    return ncclSuccess;
  });
}

ncclResult_t ncclCommCuDevice(const ncclComm_t handle, int* device) {
  return with(handle, [&](const ncclComm& communicator) {
    *device = communicator.device();
    return ncclSuccess;
  });
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "operation in progress";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t handle) {
  thread_local std::string text;
  const std::shared_ptr<ncclComm> communicator = find_communicator(handle);
  text = communicator == nullptr ? "" : communicator->error();
  return text.c_str();
}

ncclResult_t ncclGroupStart() {
  start_group();
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  return end_group();
}

ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t dtype,
                           ncclRedOp_t op, ncclComm_t communicator, cudaStream_t stream) {
  return add_call(communicator,
                  {.kind = CallKind::kAllReduce,
                   .send = send,
                   .receive = receive,
                   .count = count,
                   .dtype = dtype,
                   .op = op},
                  stream);
}

ncclResult_t ncclReduce(const void* send, void* receive, size_t count, ncclDataType_t dtype,
                        ncclRedOp_t op, int root, ncclComm_t communicator, cudaStream_t stream) {
  return add_call(communicator,
                  {.kind = CallKind::kReduce,
                   .send = send,
                   .receive = receive,
                   .count = count,
                   .dtype = dtype,
                   .op = op,
                   .peer = root},
                  stream);
}

ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t count, ncclDataType_t dtype,
                               ncclRedOp_t op, ncclComm_t communicator, cudaStream_t stream) {
  return add_call(communicator,
                  {.kind = CallKind::kReduceScatter,
                   .send = send,
                   .receive = receive,
                   .count = count,
                   .dtype = dtype,
                   .op = op},
                  stream);
}

ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t dtype,
                           ncclComm_t communicator, cudaStream_t stream) {
  return add_call(communicator,
                  {.kind = CallKind::kAllGather,
                   .send = send,
                   .receive = receive,
                   .count = count,
                   .dtype = dtype},
                  stream);
}

ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t dtype,
                           int root, ncclComm_t communicator, cudaStream_t stream) {
  return add_call(communicator,
                  {.kind = CallKind::kBroadcast,
                   .send = send,
                   .receive = receive,
                   .count = count,
                   .dtype = dtype,
                   .peer = root},
                  stream);
}

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t dtype, int peer,
                      ncclComm_t communicator, cudaStream_t stream) {
  return add_call(
      communicator,
      {.kind = CallKind::kSend, .send = data, .count = count, .dtype = dtype, .peer = peer},
      stream);
}

ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t dtype, int peer,
                      ncclComm_t communicator, cudaStream_t stream) {
  return add_call(
      communicator,
      {.kind = CallKind::kReceive, .receive = data, .count = count, .dtype = dtype, .peer = peer},
      stream);
}
}
