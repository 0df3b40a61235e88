// What an op costs at least: its arithmetic, and its traffic with device memory if nothing is read
// twice that could be kept. Divided by what a device can do, this is the shortest time that the op
// may take.
#pragma once

#include "kernels/backend.h"

namespace reformer {

struct OpCost {
  double flops = 0;  // of products of matrices, a multiply-add counted as two; all else counts 0
  double bytes = 0;  // read and written

  OpCost& operator+=(const OpCost& other) {
    flops += other.flops;
    bytes += other.bytes;
    return *this;
  }
};

/// Query-key pairs per token and head, all rounds together: C / 2 per round in STRICT (buckets of C
/// tokens), the whole neighbourhood in CHUNKED (2C, or 3C if not causal), what LOCAL and FULL show
/// on average (1.5C and T / 2 if causal).
double visible_keys(const AttentionPattern& pattern, int64_t length);

OpCost cost_of(const LinearArgs& args);
OpCost cost_of(const LinearBackwardInputArgs& args);
OpCost cost_of(const LinearBackwardWeightArgs& args);
OpCost cost_of(const LayerNormArgs& args);
OpCost cost_of(const LayerNormBackwardArgs& args);
OpCost cost_of(const ActivationArgs& args);
OpCost cost_of(const ActivationBackwardArgs& args);
OpCost cost_of(const DropoutArgs& args);
OpCost cost_of(const ResidualArgs& args);
OpCost cost_of(const JoinStreamsArgs& args);
OpCost cost_of(const SplitStreamsArgs& args);
OpCost cost_of(const EmbedArgs& args);
OpCost cost_of(const EmbedBackwardArgs& args);
OpCost cost_of(const CrossEntropyArgs& args);
OpCost cost_of(const LshHashArgs& args);
OpCost cost_of(const BucketSortArgs& args);
/// Queries, keys and values are gathered once for each round; that a window reads its keys several
/// times is the cache's business.
OpCost cost_of(const AttentionArgs& args);
/// Five products for each pair: the scores again, and four of their gradients.
OpCost cost_of(const AttentionBackwardArgs& args);
OpCost cost_of(const AttendCachedArgs& args);
/// Tokens are read once for each round, those around the own slots too.
OpCost cost_of(const AttentionPartArgs& args);
OpCost cost_of(const AttentionPartBackwardArgs& args);
OpCost cost_of(const CombineRoundsArgs& args);
OpCost cost_of(const CombineGradientsArgs& args);
OpCost cost_of(const HeadProductsArgs& args);
OpCost cost_of(const GatherRowsArgs& args);
OpCost cost_of(const SumOfSquaresArgs& args);
OpCost cost_of(const AdamWArgs& args);
OpCost cost_of(const AdafactorArgs& args);

}  // namespace reformer
