// Results of rounds, added in the order of the rounds.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/attention_frame.h"
#include "kernels/cuda/runtime.h"

namespace reformer::cuda {

/// combine_rounds() of a group of pairs. args.row is that of the group, [pairs, R, T]; what it
/// counts begins anew after `results` for each pair.
void combine_rounds_of(Runtime& runtime, const CombineRoundsArgs& args, PairGroup pairs,
                       int64_t results);

/// combine_gradients() of a group of pairs, in the same way.
void combine_gradients_of(Runtime& runtime, const CombineGradientsArgs& args, PairGroup pairs,
                          int64_t results);

}  // namespace reformer::cuda
