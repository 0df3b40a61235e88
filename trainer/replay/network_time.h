// How long an operation between ranks takes on a machine.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/operation.h"
#include "trainer/replay/machine.pb.h"

namespace reformer {

/// A group of `size` ranks, of which neighbours are `stride` apart among all ranks, seen from one
/// of them. (The ranks of a sequence are neighbours: mesh.h.)
struct GroupShape {
  int size = 1;
  int stride = 1;
  int rank = 0;  // whose view it is

  friend bool operator==(const GroupShape&, const GroupShape&) = default;
};

/// What a rank exchanges with another one of its group, in bytes.
struct PeerBytes {
  int rank = 0;  // the other one
  int64_t sent = 0;
  int64_t received = 0;

  friend bool operator==(const PeerBytes&, const PeerBytes&) = default;
};

/// What an operation moves, in bytes.
struct OperationBytes {
  int64_t whole = 0;    // of the data, on one rank
  int64_t busiest = 0;  // that the busiest rank sends, or receives, when pairs of ranks exchange
                        // what is needed (comm/traffic.h)
  std::vector<PeerBytes> peers{};  // of an all-to-all: the ranks with which this one has something
                                   // to exchange

  friend bool operator==(const OperationBytes&, const OperationBytes&) = default;
};

/// Seconds of a collective operation, from when all ranks of the group have come to it. With G
/// ranks, m of them on each of k nodes, latencies a, bandwidths b (i: within a node, o: between
/// nodes):
///
///   RINGS, one round   (G − k)·a_i + (k − 1)·a_o + bytes / min(b_i, m·b_o): the m rings that
///                      leave a node share its m ports
///   reduce-scatter and all-gather   one round with `busiest` bytes, or with the whole where slices
///                      are so uneven that this is less: NCCL then broadcasts them one by one
///   all-reduce         two rounds of (G − 1) / G of the whole, or a tree where that is faster:
///                      2·((m − 1)·a_i + ⌈log₂ k⌉·a_o) and two times the whole
///   broadcast          one round with the whole: it is passed on while it arrives
///   PAIRS              (m − 1)·a_i + (G − m)·a_o + max(inner / b_i, outer / b_o): messages begin
///                      one after the other, then all are under way; `busiest` bytes, shared out
///                      over the other ranks in equal parts
///   all-to-all         the same, with RINGS too, but of the messages that `peers` has: those to or
///                      from the own node are inner ones, and of both directions the busier counts
///   scan, barrier, and with PAIRS the all-reduce and the broadcast, which are MPI's: a tree,
///                      ⌈log₂ m⌉·a_i + ⌈log₂ k⌉·a_o, with `busiest` bytes over the slower link; an
///                      all-reduce goes up and down
///
/// to which operation_seconds are added, once; a group of one takes no time.
double seconds_of_collective(const replay::Machine& machine, OperationKind kind,
                             const GroupShape& group, const OperationBytes& bytes);

/// Seconds of messages to and from single other ranks that are under way together; the slowest
/// ranks of the group decide, which have another node between them if there is one. `messages` in
/// the busier direction.
double seconds_of_messages(const replay::Machine& machine, const GroupShape& group,
                           int64_t messages, int64_t bytes);

}  // namespace reformer
