#include "trainer/token_share.h"

namespace reformer {

TokenShare::TokenShare(const RankGroups& ranks, int64_t length, int64_t leaf)
    : positions_{0, length} {
  if (ranks.sequence == nullptr) return;
  sharers_.emplace(ranks, length, leaf);
  const Slice& own = sharers_->own_tokens();
  positions_ = {own.begin, own.end};
}

}  // namespace reformer
