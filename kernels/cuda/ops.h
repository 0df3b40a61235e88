// The ops of the CUDA backend, each in the file of its group; contracts are in kernels/backend.h.
// They check their arguments, take scratch from runtime.workspace(), and launch on
// runtime.stream() unless the runtime only plans.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/runtime.h"

namespace reformer::cuda {

// linear.cc
void linear(Runtime& runtime, const LinearArgs& args);
void linear_backward_input(Runtime& runtime, const LinearBackwardInputArgs& args);
void linear_backward_weight(Runtime& runtime, const LinearBackwardWeightArgs& args);

// layer_norm.cu
void layer_norm(Runtime& runtime, const LayerNormArgs& args);
void layer_norm_backward(Runtime& runtime, const LayerNormBackwardArgs& args);

// pointwise.cu
void activation(Runtime& runtime, const ActivationArgs& args);
void activation_backward(Runtime& runtime, const ActivationBackwardArgs& args);
void dropout(Runtime& runtime, const DropoutArgs& args);
void residual(Runtime& runtime, const ResidualArgs& args);
void join_streams(Runtime& runtime, const JoinStreamsArgs& args);
void split_streams(Runtime& runtime, const SplitStreamsArgs& args);

// token.cu; cross_entropy is in cross_entropy.cu
void embed(Runtime& runtime, const EmbedArgs& args);
void embed_backward(Runtime& runtime, const EmbedBackwardArgs& args);
void cross_entropy(Runtime& runtime, const CrossEntropyArgs& args);

// lsh.cu
void lsh_hash(Runtime& runtime, const LshHashArgs& args);

// bucket_sort.cu
void bucket_sort(Runtime& runtime, const BucketSortArgs& args);

// attention.cc: chooses between tensor cores (attention_mma*.cu) and the kernels that take every
// case (attention_simt*.cu)
void attention(Runtime& runtime, const AttentionArgs& args);
void attention_backward(Runtime& runtime, const AttentionBackwardArgs& args);
void attention_part(Runtime& runtime, const AttentionPartArgs& args);
void attention_part_backward(Runtime& runtime, const AttentionPartBackwardArgs& args);

// attention_combine.cu
void combine_rounds(Runtime& runtime, const CombineRoundsArgs& args);
void combine_gradients(Runtime& runtime, const CombineGradientsArgs& args);

// head_products.cu
void head_products(Runtime& runtime, const HeadProductsArgs& args);

// gather_rows.cu
void gather_rows(Runtime& runtime, const GatherRowsArgs& args);

// attention_cached.cu
void attend_cached(Runtime& runtime, const AttendCachedArgs& args);

// update.cu; adafactor is in adafactor.cu
void sum_of_squares(Runtime& runtime, const SumOfSquaresArgs& args);
void adamw(Runtime& runtime, const AdamWArgs& args);
void adafactor(Runtime& runtime, const AdafactorArgs& args);

}  // namespace reformer::cuda
