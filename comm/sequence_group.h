// The ranks that share sequences, and whose tokens are whose.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "comm/rank_groups.h"

namespace reformer {

/// The positions of every rank, in rank order, where `ranks` ranks share sequences of `length`
/// tokens: whole leaves of `leaf` tokens, but for the end of the sequence, whose counts differ by
/// at most one. REQUIRES: as many leaves as ranks.
std::vector<Slice> share_tokens(int64_t length, int64_t leaf, int ranks);

struct SequenceGroup {
  // As in RankGroups.
  Communicator& ranks;
  Communicator& heads;
  Communicator& buckets;
  int head_size = 1;          // rank of `ranks` = bucket rank · head_size + head rank
  int64_t length = 1;         // T, of the whole sequence
  std::vector<Slice> tokens;  // positions of each of `ranks`

  /// REQUIRES: groups.sequence.
  SequenceGroup(const RankGroups& groups, int64_t sequence_length, int64_t leaf);

  /// The positions of this rank.
  const Slice& own_tokens() const { return tokens[static_cast<size_t>(ranks.rank())]; }
  /// The positions that bucket rank `rank` holds between its `heads`, all of them together.
  Slice tokens_of_bucket_rank(int rank) const {
    return {tokens[static_cast<size_t>(rank * head_size)].begin,
            tokens[static_cast<size_t>((rank + 1) * head_size - 1)].end};
  }
};

}  // namespace reformer
