// Ranks as a grid.
#include "comm/mesh.h"

#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

TEST(MeshTest, OneRankIsAGridOfOne) {
  const Mesh mesh = make_mesh(0, 1, 1, 1);
  EXPECT_EQ(mesh.data_size, 1);
  EXPECT_EQ(mesh.sequence_size, 1);
  EXPECT_EQ(mesh.data_rank, 0);
  EXPECT_EQ(mesh.sequence_rank, 0);
}

TEST(MeshTest, EveryPlaceIsTakenOnceAndNeighboursShareASequence) {
  for (int size : {1, 2, 6, 12}) {
    for (int sequence_size = 1; sequence_size <= size; ++sequence_size) {
      if (size % sequence_size != 0) continue;
      std::set<std::pair<int, int>> places;
      for (int rank = 0; rank < size; ++rank) {
        const Mesh mesh = make_mesh(rank, size, sequence_size, 1);
        EXPECT_EQ(mesh.sequence_size, sequence_size);
        EXPECT_EQ(mesh.data_size * mesh.sequence_size, size);
        EXPECT_EQ(mesh.data_rank * mesh.sequence_size + mesh.sequence_rank, rank);
        EXPECT_GE(mesh.sequence_rank, 0);
        EXPECT_LT(mesh.sequence_rank, mesh.sequence_size);
        places.emplace(mesh.data_rank, mesh.sequence_rank);
      }
      EXPECT_EQ(places.size(), static_cast<size_t>(size));
    }
  }
}

TEST(MeshTest, ACountThatDoesNotDivideIsRefusedWithThoseThatDo) {
  for (int sequence_size : {-1, 0, 4, 5, 7, 12}) {
    try {
      make_mesh(0, 6, sequence_size, 1);
      ADD_FAILURE() << sequence_size << " was accepted";
    } catch (const CommError& error) {
      const std::string count = std::to_string(sequence_size);
      EXPECT_EQ(std::string(error.what()), "[mesh] 6 ranks cannot share sequences " + count +
                                               " by " + count + ", legal: 1, 2, 3, 6");
    }
  }
}

TEST(MeshDeathTest, ARankOutsideTheGridIsABug) {
  EXPECT_DEATH(make_mesh(2, 2, 1, 1), "rank < size");
  EXPECT_DEATH(make_mesh(-1, 2, 1, 1), "0 <= rank");
}

}  // namespace
}  // namespace reformer
