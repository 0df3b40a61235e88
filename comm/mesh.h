// Ranks as a grid: data-parallel × sequence-parallel, the latter head-parallel × bucket-parallel.
#pragma once

namespace reformer {

/// A rank's place. Ranks that share a sequence are neighbours, and so are, among those, the ranks
/// that share the heads of LSH layers:
///   rank = data_rank · sequence_size + sequence_rank,
///   sequence_rank = bucket_rank · head_size + head_rank.
/// Gradients are summed over the whole grid.
struct Mesh {
  int data_size = 1;
  int sequence_size = 1;
  int head_size = 1;
  int data_rank = 0;
  int sequence_rank = 0;

  int size() const { return data_size * sequence_size; }
  int rank() const { return data_rank * sequence_size + sequence_rank; }
  int bucket_size() const { return sequence_size / head_size; }
  int head_rank() const { return sequence_rank % head_size; }
  int bucket_rank() const { return sequence_rank / head_size; }

  friend bool operator==(const Mesh&, const Mesh&) = default;
};

/// The place of `rank` among `size` ranks of which `sequence_size` share each sequence, and
/// `head_size` of those their heads. Throws CommError, listing the counts that can work, unless
/// sequence_size divides size and head_size divides sequence_size.
Mesh make_mesh(int rank, int size, int sequence_size, int head_size);

}  // namespace reformer
