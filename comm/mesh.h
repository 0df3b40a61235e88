// Ranks as a grid: data-parallel × sequence-parallel.
#pragma once

namespace reformer {

/// A rank's place. Ranks that share a sequence are neighbours: rank = data_rank · sequence_size +
/// sequence_rank. Gradients are summed over the whole grid.
struct Mesh {
  int data_size = 1;
  int sequence_size = 1;
  int data_rank = 0;
  int sequence_rank = 0;
};

/// The place of `rank` among `size` ranks of which `sequence_size` share each sequence. Throws
/// CommError, listing the counts that can work, unless sequence_size divides size.
Mesh make_mesh(int rank, int size, int sequence_size);

}  // namespace reformer
