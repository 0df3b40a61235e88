// The arguments of the attention ops of Backend; backend.h has the rules that hold for all ops.
#pragma once

#include <cstdint>

#include "kernels/attention_pattern.h"
#include "kernels/core/view.h"
#include "kernels/dropout.h"
#include "kernels/lsh_layout.h"
#include "kernels/token_layout.h"

namespace reformer {

/// Attention of all heads and rounds, rounds combined by log-sum-exp (paper, equation 5):
///   o_i = Σ_r Σ_j w_rij v_j / Σ_r Σ_j w_rij,  w = exp(score) · visible / N_ij,
/// where score = q·k̂, k̂ = q_j / ‖q_j‖ (LOCAL: q·k / √D), and N_ij is how often j is among the keys
/// that i sees over all rounds (1 unless pattern.correct_duplicates). A key with ‖q_j‖ <
/// kShortestKey has no direction: k̂ = 0, without gradient. A token that sees nobody else in any
/// round gets its own value, never dropped; a masked token gets 0, and lse 0. Dropout acts on the
/// weights in the numerator: word (round % 4) of
///   philox(key, {pos_i, pos_j, sample, head | (round / 4) << 16}).
/// What is subtracted before exp depends on the query and the keys it sees alone. Each round adds
/// its keys one by one in slot order, from zero, and the rounds are added in their order; so
/// invisible keys do not change a bit. With BFloat16 activations they may decide which keys are
/// added together, in the last place of the result.
struct AttentionArgs {
  TokenLayout layout;  // length = the whole sequence
  AttentionPattern pattern;
  int64_t first_head = 0;  // the first of these heads among those of the layer, for dropout
  Dropout dropout;
  View query;         // activation [rows, H·D]; the shared query-key unless kLocal
  View key;           // activation [rows, H·D]; kLocal only
  View value;         // activation [rows, H·D]
  View order;         // hashed only, from bucket_sort
  View bucket_begin;  // hashed only, from bucket_sort
  View mask;          // Uint8 [B, T], 0 = masked; or absent. Hashed: the one that lsh_hash got
  View out;           // activation [rows, H·D]
  View lse;           // [B, H, T]: log Σ_r Σ_j w_rij; kSelfScore for tokens that saw nobody else
};

inline constexpr float kSelfScore = -1e5f;
/// A key with a smaller norm has no direction.
inline constexpr float kShortestKey = 1e-12f;

/// The gradient of `attention`. `forward` names its inputs and its results out and lse.
struct AttentionBackwardArgs {
  AttentionArgs forward;
  View dout;    // activation [rows, H·D]
  View dquery;  // activation [rows, H·D]; shared query-key: the sum of both gradients
  View dkey;    // activation [rows, H·D]; kLocal only
  View dvalue;  // activation [rows, H·D]
};

/// Attention while text is generated: each query is the newest token of a sequence whose earlier
/// tokens are in a cache of S sequences. Of every head, the keys that it sees are listed:
///   o_b = Σ_k w_k v_k / Σ_k w_k,  w_k = exp(score_k),
/// scores as in `attention`, sums in the order of the list; a key listed twice counts twice. A
/// query without keys gets its own value.
struct AttendCachedArgs {
  AttentionPattern pattern;
  View query;       // activation [B, H·D]
  View value;       // activation [B, H·D], of the queries' own tokens
  View keys;        // activation [S, C, H·D], C rows for each sequence
  View values;      // activation [S, C, H·D]
  View sequence;    // Int32 [B], each in [0, S)
  View seen;        // Int32 [B, H, K]: rows in [0, C)
  View seen_count;  // Int32 [B, H]: how many of them count, from the front
  View out;         // activation [B, H·D]
};

// ---- attention to a part of the slots ------------------------------------------------------
//
// Attention of a sequence whose tokens are spread over ranks, in pieces: each own slot of a round
// gets what that round alone adds up for the token in it (attention_part); the results of all
// rounds are then added in the order of the rounds (combine_rounds). `attention` is both, with all
// slots its own: the bits are the same for any division into parts at multiples of
// Backend::slot_block().

/// Floats of one result beside Σ w v: what was subtracted from the scores before exp, Σ w, and what
/// Σ w v has to be divided by. The backend's own business, like the scale of Σ w v.
inline constexpr int64_t kRoundWeights = 3;

/// The tokens that the own slots need are rows here, in any order; slots around the own ones
/// (slots_around() in lsh_layout.h) name their rows.
struct AttentionPartArgs {
  AttentionPattern pattern;  // heads: those of this call, H
  int64_t length = 1;        // T, of the whole sequence
  SlotRange own;             // the slots of every round that get a result
  int64_t sample = 0;        // in the batch of the step, for dropout
  int64_t first_head = 0;    // as in AttentionArgs
  Dropout dropout;
  View query;         // activation [M, H·D]
  View key;           // activation [M, H·D]; kLocal only
  View value;         // activation [M, H·D]
  View position;      // Int32 [M]: of the token in the sequence; ~position if it is masked
  View row;           // Int32 [H, R, slots_around().size()]: in [0, M)
  View bucket_begin;  // Int32 [H, R, N + 2], of the whole sequence; hashed only
  View slot_in;       // Int32 [H, M, R]: slot of the token in every round, counted within the
                      // round; with pattern.correct_duplicates only
  View sums;          // Float32 [H, R, own.size(), D]
  View weights;       // Float32 [H, R, own.size(), kRoundWeights]
};

/// The gradient of one round's result. An own slot stands for a query and for a key; what it gets
/// as either is added up here.
struct AttentionPartBackwardArgs {
  AttentionPartArgs forward;  // sums and weights are not needed
  View dout;                  // activation [M, H·D]
  View lse;                   // Float32 [M, H]: of all rounds, as combine_rounds has it
  View delta;                 // Float32 [M, H]: dout·out, from head_products
  View dquery;                // Float32 [H, R, own.size(), D]
  View dkey;                  // Float32 [H, R, own.size(), D]; kLocal only
  View dvalue;                // Float32 [H, R, own.size(), D]
};

/// out and lse as `attention` has them, from the results of all rounds.
struct CombineRoundsArgs {
  TokenLayout layout;
  AttentionPattern pattern;
  Dropout dropout;  // as attention_part got it
  View row;         // Int32 [B, H, R, T]: where a token's result of each round is, in [0, K)
  View sums;        // Float32 [K, D]
  View weights;     // Float32 [K, kRoundWeights]
  View value;       // activation [rows, H·D]
  View mask;        // as in AttentionArgs
  View out;         // activation [rows, H·D]
  View lse;         // [B, H, T]
};

/// dquery, dkey and dvalue as `attention_backward` has them, from the gradients of all rounds.
struct CombineGradientsArgs {
  TokenLayout layout;
  AttentionPattern pattern;
  View row;          // as in CombineRoundsArgs
  View query_parts;  // Float32 [K, D]
  View key_parts;    // Float32 [K, D]; kLocal only
  View value_parts;  // Float32 [K, D]
  View dout;         // activation [rows, H·D]
  View lse;          // [B, H, T]
  View dquery;       // activation [rows, H·D]
  View dkey;         // activation [rows, H·D]; kLocal only
  View dvalue;       // activation [rows, H·D]
};

/// products[row, h] = a·b of each row and head, as attention_backward takes dout·out.
struct HeadProductsArgs {
  int64_t heads = 1;  // H
  View a;             // activation [rows, H·D]
  View b;             // activation [rows, H·D]
  View products;      // Float32 [rows, H]
};

/// y[i] = x[index[i]], or zeros where index[i] < 0.
struct GatherRowsArgs {
  View x;      // [n, width], any dtype
  View index;  // Int32 [m], each < n
  View y;      // [m, width], like x
};

}  // namespace reformer
