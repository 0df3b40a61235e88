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
void with_pair_work(const AttentionArgs& args, const F& f) {
  if (corrects_duplicates(args.pattern)) {
    f(std::integral_constant<PairWork, PairWork::kDuplicates>{});
  } else if (args.dropout.enabled()) {
    f(std::integral_constant<PairWork, PairWork::kDropout>{});
  } else {
    f(std::integral_constant<PairWork, PairWork::kPlain>{});
  }
}

/// Blocks of one launch that fill any device several times over. Sums between rounds then take
/// little memory, and mostly stay in its L2 cache.
inline constexpr int64_t kBlocksPerLaunch = 1024;
/// Limit of the grid's y and z.
inline constexpr int64_t kMostPairs = 65535;

/// Calls f(PairGroup) for all pairs. The groups do not depend on the device, and results do not
/// depend on them.
template <typename F>
void for_pair_groups(const AttentionArgs& args, const F& f) {
  const int64_t pairs = args.layout.samples * args.pattern.heads;
  const int64_t blocks = divide_up(args.layout.length, kBlockSlots);
  const int64_t group = args.pattern.rounds == 1
                            ? kMostPairs
                            : std::min(kMostPairs, divide_up(kBlocksPerLaunch, blocks));
  for (int64_t first = 0; first < pairs; first += group) {
    f(PairGroup{.first = first, .count = std::min(group, pairs - first)});
  }
}

inline dim3 block_grid(const AttentionArgs& args, PairGroup pairs) {
  return dim3(static_cast<unsigned>(divide_up(args.layout.length, kBlockSlots)),
              static_cast<unsigned>(pairs.count));
}

/// Makes the tables of the group in the workspace.
AttentionBlockArgs make_block_args(Runtime& runtime, const AttentionArgs& args, PairGroup pairs,
                                   const View& key_scales, bool backward);

}  // namespace reformer::cuda
