#include "tests/ptx/nccl/calls.h"

#include <fmt/format.h>

namespace reformer::ptx::nccl {
namespace {

const char* name_of(CallKind kind) {
  switch (kind) {
    case CallKind::kAllReduce:
      return "all-reduce";
    case CallKind::kReduce:
      return "reduce";
    case CallKind::kReduceScatter:
      return "reduce-scatter";
    case CallKind::kAllGather:
      return "all-gather";
    case CallKind::kBroadcast:
      return "broadcast";
    case CallKind::kSend:
      return "send";
    case CallKind::kReceive:
      return "receive";
    case CallKind::kSplit:
      return "split";
  }
  return "unknown call";
}

const char* name_of(ncclDataType_t dtype) {
  constexpr const char* kNames[] = {"int8",   "uint8",   "int32",   "uint32",  "int64",
                                    "uint64", "float16", "float32", "float64", "bfloat16"};
  return dtype >= 0 && dtype <= ncclBfloat16 ? kNames[dtype] : "unknown type";
}

bool has_root(CallKind kind) {
  return kind == CallKind::kReduce || kind == CallKind::kBroadcast;
}

}  // namespace

size_t size_of(ncclDataType_t dtype) {
  switch (dtype) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      return 0;
  }
}

std::string describe(const MessageHeader& header) {
  if (header.kind == CallKind::kSplit) return name_of(header.kind);
  std::string text = fmt::format("{} of {} {}", name_of(header.kind), header.count,
                                 name_of(static_cast<ncclDataType_t>(header.dtype)));
  if (has_root(header.kind)) text += fmt::format(" with root {}", header.root);
  return text;
}

MessageHeader header_of(const Call& call, size_t bytes) {
  return {.kind = call.kind,
          .dtype = call.dtype,
          .op = call.op,
          .root = has_root(call.kind) ? call.peer : -1,
          .count = call.count,
          .bytes = bytes};
}

bool matches(const MessageHeader& sent, const Call& own) {
  const MessageHeader expected = header_of(own, 0);
  const CallKind kind = own.kind == CallKind::kReceive ? CallKind::kSend : own.kind;
  return sent.kind == kind && sent.dtype == expected.dtype && sent.op == expected.op &&
         sent.root == expected.root && sent.count == expected.count;
}

}  // namespace reformer::ptx::nccl
