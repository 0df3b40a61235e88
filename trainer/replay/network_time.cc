#include "trainer/replay/network_time.h"

#include <algorithm>
#include <bit>

#include "kernels/core/check.h"

namespace reformer {
namespace {

using replay::Link;
using replay::Machine;

/// How a group lies on the nodes.
struct Extent {
  int ranks = 1;
  int of_node = 1;
  int nodes = 1;

  /// Groups begin where a node begins, or lie within one.
  int node_of(int rank) const { return rank / of_node; }
};

Extent extent_of(const Machine& machine, const GroupShape& group) {
  CHECK(group.size >= 1 && group.stride >= 1);
  const int together = std::max(1, static_cast<int>(machine.ranks_per_node()) / group.stride);
  const int of_node = std::min(group.size, together);
  return {.ranks = group.size, .of_node = of_node, .nodes = (group.size + of_node - 1) / of_node};
}

/// ⌈log₂ count⌉.
int levels(int count) {
  return static_cast<int>(std::bit_width(static_cast<unsigned>(count - 1)));
}

double transfer(const Link& link, double bytes) {
  return bytes > 0 ? bytes / link.bytes_per_second() : 0;
}

double latency(const Machine& machine, int64_t inner, int64_t outer) {
  return static_cast<double>(inner) * machine.within_node().latency_seconds() +
         static_cast<double>(outer) * machine.between_nodes().latency_seconds();
}

double ring(const Machine& machine, const Extent& extent, double bytes) {
  double seconds = latency(machine, extent.ranks - extent.nodes, extent.nodes - 1);
  double slowest = 0;
  if (extent.of_node > 1) slowest = transfer(machine.within_node(), bytes);
  if (extent.nodes > 1) {
    slowest = std::max(slowest, transfer(machine.between_nodes(), bytes / extent.of_node));
  }
  return seconds + slowest;
}

double rings_all_reduce(const Machine& machine, const Extent& extent, double bytes) {
  const double in_rings = 2 * ring(machine, extent, bytes * (extent.ranks - 1) / extent.ranks);
  const double tree_latency = 2 * latency(machine, extent.of_node - 1, levels(extent.nodes));
  const double ring_latency = latency(machine, extent.ranks - extent.nodes, extent.nodes - 1);
  const double in_tree = tree_latency + 2 * (ring(machine, extent, bytes) - ring_latency);
  return std::min(in_rings, in_tree);
}

double pairs(const Machine& machine, const Extent& extent, double bytes) {
  const double each = bytes / (extent.ranks - 1);
  const int inner = extent.of_node - 1;
  const int outer = extent.ranks - extent.of_node;
  return latency(machine, inner, outer) + std::max(transfer(machine.within_node(), each * inner),
                                                   transfer(machine.between_nodes(), each * outer));
}

/// Messages over one link, each way.
class LinkLoad {
 public:
  void add(const PeerBytes& peer) {
    messages_out_ += peer.sent > 0;
    messages_in_ += peer.received > 0;
    bytes_out_ += peer.sent;
    bytes_in_ += peer.received;
  }
  int64_t messages() const { return std::max(messages_out_, messages_in_); }
  double bytes() const { return static_cast<double>(std::max(bytes_out_, bytes_in_)); }

 private:
  int64_t messages_out_ = 0;
  int64_t messages_in_ = 0;
  int64_t bytes_out_ = 0;
  int64_t bytes_in_ = 0;
};

double all_to_all(const Machine& machine, const Extent& extent, int rank,
                  const std::vector<PeerBytes>& peers) {
  LinkLoad inner;
  LinkLoad outer;
  for (const PeerBytes& peer : peers) {
    (extent.node_of(peer.rank) == extent.node_of(rank) ? inner : outer).add(peer);
  }
  return latency(machine, inner.messages(), outer.messages()) +
         std::max(transfer(machine.within_node(), inner.bytes()),
                  transfer(machine.between_nodes(), outer.bytes()));
}

double tree(const Machine& machine, const Extent& extent, double bytes) {
  double slowest = 0;
  if (extent.of_node > 1) slowest = transfer(machine.within_node(), bytes);
  if (extent.nodes > 1) slowest = std::max(slowest, transfer(machine.between_nodes(), bytes));
  return latency(machine, levels(extent.of_node), levels(extent.nodes)) + slowest;
}

double collective(const Machine& machine, OperationKind kind, const GroupShape& group,
                  const OperationBytes& bytes) {
  const Extent extent = extent_of(machine, group);
  const auto whole = static_cast<double>(bytes.whole);
  const auto busiest = static_cast<double>(bytes.busiest);
  const bool rings = machine.collectives() == Machine::RINGS;
  switch (kind) {
    case OperationKind::kReduceScatterSum:
    case OperationKind::kAllGather:
      return rings ? ring(machine, extent, std::min(busiest, whole))
                   : pairs(machine, extent, busiest);
    case OperationKind::kAllReduceSum:
      return rings ? rings_all_reduce(machine, extent, whole)
                   : 2 * tree(machine, extent, busiest / 2);
    case OperationKind::kBroadcast:
      return rings ? ring(machine, extent, whole) : tree(machine, extent, busiest);
    case OperationKind::kAllToAll:
      return all_to_all(machine, extent, group.rank, bytes.peers);
    case OperationKind::kExclusiveScanSum:
    case OperationKind::kBarrier:
      return tree(machine, extent, busiest);
    case OperationKind::kSend:
    case OperationKind::kReceive:
    case OperationKind::kSplit:
      break;
  }
  CHECK(!"a collective of a step");
  return 0;
}

}  // namespace

double seconds_of_collective(const Machine& machine, OperationKind kind, const GroupShape& group,
                             const OperationBytes& bytes) {
  if (group.size == 1) return 0;
  return machine.operation_seconds() + collective(machine, kind, group, bytes);
}

double seconds_of_messages(const Machine& machine, const GroupShape& group, int64_t messages,
                           int64_t bytes) {
  const Extent extent = extent_of(machine, group);
  const Link& link = extent.nodes > 1 ? machine.between_nodes() : machine.within_node();
  return machine.operation_seconds() + static_cast<double>(messages) * link.latency_seconds() +
         transfer(link, static_cast<double>(bytes));
}

}  // namespace reformer
