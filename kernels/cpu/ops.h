// The ops of the CPU backend as free functions, one source file per group. Contracts: backend.h.
// Every function splits its work into pieces that depend on the layout alone, never on the number
// of threads, and gives each output element one writer.
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/thread_pool.h"

namespace reformer::cpu {

// gemm.cc
void linear(ThreadPool& pool, const LinearArgs& args);
void linear_backward_input(ThreadPool& pool, const LinearBackwardInputArgs& args);
void linear_backward_weight(ThreadPool& pool, const LinearBackwardWeightArgs& args);

// layer_norm.cc
void layer_norm(ThreadPool& pool, const LayerNormArgs& args);
void layer_norm_backward(ThreadPool& pool, const LayerNormBackwardArgs& args);

// pointwise.cc
void activation(ThreadPool& pool, const ActivationArgs& args);
void activation_backward(ThreadPool& pool, const ActivationBackwardArgs& args);
void dropout(ThreadPool& pool, const DropoutArgs& args);
void residual(ThreadPool& pool, const ResidualArgs& args);
void join_streams(ThreadPool& pool, const JoinStreamsArgs& args);
void split_streams(ThreadPool& pool, const SplitStreamsArgs& args);

// token.cc
void embed(ThreadPool& pool, const EmbedArgs& args);
void embed_backward(ThreadPool& pool, const EmbedBackwardArgs& args);
void cross_entropy(ThreadPool& pool, const CrossEntropyArgs& args);

// lsh.cc
void lsh_hash(ThreadPool& pool, const LshHashArgs& args);
void bucket_sort(ThreadPool& pool, const BucketSortArgs& args);

// attention.cc, attention_backward.cc
void attention(ThreadPool& pool, const AttentionArgs& args);
void attention_backward(ThreadPool& pool, const AttentionBackwardArgs& args);
void attention_part(ThreadPool& pool, const AttentionPartArgs& args);
void attention_part_backward(ThreadPool& pool, const AttentionPartBackwardArgs& args);

// attention_combine.cc
void combine_rounds(ThreadPool& pool, const CombineRoundsArgs& args);
void combine_gradients(ThreadPool& pool, const CombineGradientsArgs& args);
void head_products(ThreadPool& pool, const HeadProductsArgs& args);
void gather_rows(ThreadPool& pool, const GatherRowsArgs& args);

// attention_cached.cc
void attend_cached(ThreadPool& pool, const AttendCachedArgs& args);

// update.cc
void sum_of_squares(ThreadPool& pool, const SumOfSquaresArgs& args);
void adamw(ThreadPool& pool, const AdamWArgs& args);
void adafactor(ThreadPool& pool, const AdafactorArgs& args);

/// Name of the vector instruction set that the hand-written kernels run on, such as "AVX2".
const char* vector_target();  // pointwise.cc

}  // namespace reformer::cpu
