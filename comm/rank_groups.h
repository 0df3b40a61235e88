// A rank among all others, and the groups that it is in by its place in the mesh.
#pragma once

#include <memory>

#include "comm/communicator.h"
#include "comm/mesh.h"

namespace reformer {

struct RankGroups {
  Communicator& world;  // gradients are summed here
  Mesh mesh;
  // Where sequences are shared (mesh.sequence_size > 1), else null. In the order of world ranks.
  std::unique_ptr<Communicator> sequence{};  // the ranks that share this one's sequences
  std::unique_ptr<Communicator> heads{};    // of those, the ones that share the heads of neighbours
  std::unique_ptr<Communicator> buckets{};  // of those, the ones with the same heads

  /// Seconds that the host spent in waits so far, in all groups.
  double seconds_waited() const {
    double seconds = world.seconds_waited();
    for (const Communicator* group : {sequence.get(), heads.get(), buckets.get()}) {
      if (group != nullptr) seconds += group->seconds_waited();
    }
    return seconds;
  }

  /// This rank's share of `count` sequences, as [begin, end). The same for all ranks of `sequence`.
  Slice share_of_sequences(int64_t count) const {
    return share_of(count, mesh.data_rank, mesh.data_size);
  }
};

/// Every rank works on sequences of its own: all data-parallel. `world` must outlive the groups.
RankGroups data_parallel(Communicator& world);

/// Splits `world` as `mesh` has it. Collective. `world` must outlive the groups.
RankGroups split_by_mesh(Communicator& world, const Mesh& mesh);

/// The groups of a rank that is only planned for (plan.h).
RankGroups plan_groups(Communicator& world, const Mesh& mesh, const CommunicatorSetup& setup = {});

}  // namespace reformer
