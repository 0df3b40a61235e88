#include "comm/sequence_group.h"

#include <algorithm>

#include "kernels/core/check.h"

namespace reformer {

std::vector<Slice> share_tokens(int64_t length, int64_t leaf, int ranks) {
  const int64_t leaves = (length + leaf - 1) / leaf;
  CHECK_GE(leaves, ranks);
  const auto begin_of = [&](int rank) { return std::min(length, leaves * rank / ranks * leaf); };
  std::vector<Slice> tokens;
  for (int rank = 0; rank < ranks; ++rank) tokens.push_back({begin_of(rank), begin_of(rank + 1)});
  return tokens;
}

SequenceGroup::SequenceGroup(const RankGroups& groups, int64_t sequence_length, int64_t leaf)
    : ranks(*groups.sequence),
      heads(*groups.heads),
      buckets(*groups.buckets),
      head_size(groups.mesh.head_size),
      length(sequence_length),
      tokens(share_tokens(sequence_length, leaf, groups.mesh.sequence_size)) {}

}  // namespace reformer
