#include "comm/rank_groups.h"

#include "comm/plan.h"
#include "kernels/core/check.h"

namespace reformer {

RankGroups data_parallel(Communicator& world) {
  return split_by_mesh(world, make_mesh(world.rank(), world.size(), 1, 1));
}

RankGroups split_by_mesh(Communicator& world, const Mesh& mesh) {
  CHECK_EQ(mesh.size(), world.size());
  CHECK_EQ(mesh.rank(), world.rank());
  RankGroups groups{.world = world, .mesh = mesh};
  if (mesh.sequence_size == 1) return groups;
  groups.sequence = world.split(mesh.data_rank, "ranks of a sequence");
  groups.heads = groups.sequence->split(mesh.bucket_rank(), "ranks that share heads");
  groups.buckets = groups.sequence->split(mesh.head_rank(), "ranks that share buckets");
  return groups;
}

RankGroups plan_groups(Communicator& world, const Mesh& mesh, const CommunicatorSetup& setup) {
  RankGroups groups{.world = world, .mesh = mesh};
  if (mesh.sequence_size == 1) return groups;
  const auto plan = [&](int rank, int size) {
    return std::make_unique<PlanCommunicator>(rank, size, setup);
  };
  groups.sequence = plan(mesh.sequence_rank, mesh.sequence_size);
  groups.heads = plan(mesh.head_rank(), mesh.head_size);
  groups.buckets = plan(mesh.bucket_rank(), mesh.bucket_size());
  return groups;
}

}  // namespace reformer
