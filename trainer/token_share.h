// Which tokens of each sequence a rank works on, and with whom it shares them.
#pragma once

#include <optional>

#include "comm/sequence_group.h"
#include "trainer/data/data_range.h"

namespace reformer {

/// Shares sequences of `length` tokens out over ranks.sequence, in whole leaves of `leaf` tokens.
class TokenShare {
 public:
  /// `ranks` must outlive the share.
  TokenShare(const RankGroups& ranks, int64_t length, int64_t leaf);

  /// The positions of this rank; all if sequences are not shared.
  const DataRange& positions() const { return positions_; }

  /// For Pass::sequence: null if sequences are not shared.
  const SequenceGroup* sharers() const { return sharers_ ? &*sharers_ : nullptr; }

 private:
  std::optional<SequenceGroup> sharers_;
  DataRange positions_;
};

}  // namespace reformer
