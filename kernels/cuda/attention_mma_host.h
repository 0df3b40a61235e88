// What the host sides of both passes share: which kernel, which groups of pairs, and the arguments
// of their blocks.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/attention_mma_blocks.cuh"
#include "kernels/lsh_layout.h"

namespace reformer::cuda {

/// Calls f(std::integral_constant<int, D>).
template <typename F>
void with_head_dim(int64_t head_dim, const F& f) {
  switch (head_dim) {
    case 32:
      return f(std::integral_constant<int, 32>{});
    case 64:
      return f(std::integral_constant<int, 64>{});
    default:
      CHECK_EQ(head_dim, 128);
      return f(std::integral_constant<int, 128>{});
  }
}

/// Calls f(std::integral_constant<PairWork, …>).
template <typename F>
void with_pair_work(const AttentionFrame& frame, const F& f) {
  if (corrects_duplicates(frame.pattern)) {
    f(std::integral_constant<PairWork, PairWork::kDuplicates>{});
  } else if (frame.dropout.enabled()) {
    f(std::integral_constant<PairWork, PairWork::kDropout>{});
  } else {
    f(std::integral_constant<PairWork, PairWork::kPlain>{});
  }
}

/// The rounds that shared memory has room to count the pairs of.
inline int counted_rounds(const AttentionFrame& frame, PairWork work) {
  return work == PairWork::kDuplicates ? static_cast<int>(frame.pattern.rounds) : 0;
}

/// Calls f(PairGroup) for all pairs.
template <typename F>
void for_block_groups(const AttentionFrame& frame, const F& f) {
  for_pair_groups(frame.pairs(), frame.pattern.rounds == 1 ? 1 : frame.blocks(),
                  frame.pattern.rounds == 1 ? frame.pairs() : kBlocksPerGroup, f);
}

/// Launches a kernel of blocks for each round, one after the other.
template <typename Args>
void launch_rounds(Runtime& runtime, void (*kernel)(Args), const AttentionFrame& frame,
                   PairGroup pairs, int shared_bytes, Args args) {
  for (int round = 0; round < frame.pattern.rounds; ++round) {
    args.block.round = round;
    launch(runtime, kernel,
           dim3(static_cast<unsigned>(frame.blocks()), static_cast<unsigned>(pairs.count)),
           dim3(kBlockThreads), static_cast<size_t>(shared_bytes), args);
  }
}

/// Makes the tables of the group in the workspace.
AttentionBlockArgs make_block_args(Runtime& runtime, const AttentionFrame& frame, PairGroup pairs,
                                   const View& key_scales, bool backward);

}  // namespace reformer::cuda
