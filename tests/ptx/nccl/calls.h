// One call of an NCCL operation as data, and what ranks must agree on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <nccl.h>

namespace reformer::ptx::nccl {

enum class CallKind : int32_t {
  kAllReduce = 1,
  kReduce,
  kReduceScatter,
  kAllGather,
  kBroadcast,
  kSend,
  kReceive,
  kSplit,
};

struct Call {
  CallKind kind = CallKind::kAllReduce;
  const void* send = nullptr;
  void* receive = nullptr;
  size_t count = 0;  // as the function takes it: of a slice for kReduceScatter and kAllGather
  ncclDataType_t dtype = ncclInt8;
  ncclRedOp_t op = ncclSum;
  int peer = -1;  // the root, receiver or sender

  bool is_collective() const { return kind != CallKind::kSend && kind != CallKind::kReceive; }
};

/// What travels in front of every message: the sender's call. Plain bytes.
struct MessageHeader {
  CallKind kind{};
  int32_t dtype = 0;
  int32_t op = 0;
  int32_t root = -1;
  uint64_t count = 0;
  uint64_t bytes = 0;  // of data that follow
};

/// Bytes of an element; 0 for a type that there is not.
size_t size_of(ncclDataType_t dtype);

/// "all-reduce of 8 int64", "broadcast of 8 int64 from rank 1".
std::string describe(const MessageHeader& header);

/// The header of a message of `call` that carries `bytes`.
MessageHeader header_of(const Call& call, size_t bytes);

/// True when `sent`, which came from another rank, belongs to `own`, this rank's call.
bool matches(const MessageHeader& sent, const Call& own);

}  // namespace reformer::ptx::nccl
