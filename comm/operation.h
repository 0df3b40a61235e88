// One operation of a communicator as data: what is checked, recorded and carried out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/view.h"

namespace reformer {

/// Elements [begin, end) of a view, counted in its flat order.
struct Slice {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t elements() const { return end - begin; }
  View of(const View& view) const { return view.reshape({view.elements()}).rows(begin, end); }
  bool operator==(const Slice&) const = default;
};

/// Part `part` of `count` things dealt out in order; the parts differ by at most one.
constexpr Slice share_of(int64_t count, int part, int parts) {
  return {count * part / parts, count * (part + 1) / parts};
}

// Stored in flight recorders: never renumber.
enum class OperationKind : uint8_t {
  kAllReduceSum = 1,
  kReduceScatterSum = 2,
  kAllGather = 3,
  kBroadcast = 4,
  kAllToAll = 5,
  kSend = 6,
  kReceive = 7,
  kExclusiveScanSum = 8,
  kBarrier = 9,
  kSplit = 10,
};

const char* name_of(OperationKind kind);

struct Operation {
  OperationKind kind = OperationKind::kBarrier;
  std::string tag{};  // what it is for, in words: "gradients of layer 3"

  View data{};                  // given, and for all kinds but kAllToAll where the result goes
  std::vector<Slice> slices{};  // of `data` by rank: kReduceScatterSum, kAllGather, kAllToAll
  View received{};              // kAllToAll
  std::vector<Slice> received_slices{};  // of `received` by rank; kAllToAll

  int peer = -1;  // the root, receiver or sender; kSplit: the color
  int64_t sequence =
      0;  // place among the collectives of its group, or among its sends and receives

  bool is_collective() const {
    return kind != OperationKind::kSend && kind != OperationKind::kReceive;
  }
  /// Elements of `data` and `received`.
  int64_t elements() const { return data.elements() + received.elements(); }
};

/// "reduce-scatter #57 of 4096 int64 (gradients of layer 3)".
std::string describe(const Operation& operation);

}  // namespace reformer
