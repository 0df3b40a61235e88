// The vector code of the attention ops on tiles: their products, and what turns a tile of scores
// into weights and their gradients.
//
// A tile pairs kTileLanes rows of one side, the *lanes* (queries in the forward pass), with a run
// of rows of the other side, the *panel* (keys). A tile of scores is [rows, kTileLanes]. Every sum
// here is taken element by element in panel order, so the result for one lane depends neither on
// where its tile begins nor on its neighbours, and panel rows that a lane does not see have weight
// 0 and leave its bits alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/core/philox.h"
#include "kernels/cpu/attention_rows.h"

namespace reformer::cpu {

// ---- products -------------------------------------------------------------------------------

/// c[i, j] = Σ_k a[i, k] · b[k, j], or += if `accumulate`. Each element is one chain of fused
/// multiply-adds in the order of k.
struct TileProduct {
  int64_t rows = 0;
  int64_t columns = 0;  // a multiple of kTileLanes
  int64_t depth = 0;
  const float* a = nullptr;  // element (i, k) at [i · a_row + k · a_step]
  int64_t a_row = 0;
  int64_t a_step = 0;
  const float* b = nullptr;  // element (k, j) at [k · b_stride + j]
  int64_t b_stride = 0;
  float* c = nullptr;
  int64_t c_stride = 0;
  bool accumulate = false;
};

void multiply(const TileProduct& product);

// ---- pairs ----------------------------------------------------------------------------------

/// `key_position` of a masked key: after every `limit`.
inline constexpr int32_t kMaskedKey = std::numeric_limits<int32_t>::max();
/// `limit` of a query that sees later positions too.
inline constexpr int32_t kNoLimit = kMaskedKey - 1;
/// `excluded` of a query that sees itself.
inline constexpr int32_t kExcludeNone = -1;

/// Arrays over the rows of one side. Query i sees key j iff
///   low_i <= slot_j < high_i, key_position_j <= limit_i and key_position_j != excluded_i.
/// Slots are unrolled (lsh_layout.h).
struct SlotRows {
  int64_t capacity = 0;
  int32_t* row = nullptr;       // of the token in activations, counted within the sample
  int32_t* position = nullptr;  // of the token in its sequence
  int32_t* slot = nullptr;
  int32_t* round = nullptr;
  int32_t* low = nullptr;   // of a query, as above;
  int32_t* high = nullptr;  // of a key: [low, high) holds every query that sees it

  int32_t* key_position = nullptr;  // keys only

  int32_t* limit = nullptr;  // queries only, as all below
  int32_t* excluded = nullptr;
  float* offset = nullptr;  // subtracted from scores before exp
  float* delta = nullptr;   // gradient of the output times the output; backward pass only

  // With correct_duplicates, [R, capacity]: the slot of the token in every round, and the keys seen
  // from there.
  int32_t* slot_in = nullptr;
  int32_t* low_in = nullptr;
  int32_t* high_in = nullptr;
};

/// How to count the times that a query sees a key over all rounds.
struct DuplicateRule {
  int64_t rounds = 0;         // 0: do not divide by it
  int32_t ring_size = 0;      // R·T
  bool other_rounds = false;  // a query may see keys in the slots of adjacent rounds
};

struct PairDropout {
  bool enabled = false;
  PhiloxKey key;
  uint32_t threshold = 0;
  float scale = 1;
  uint32_t sample = 0;
  uint32_t head = 0;
};

struct TilePairs {
  const SlotRows* lanes = nullptr;
  int64_t first_lane = 0;  // a multiple of kTileLanes
  const SlotRows* panel = nullptr;
  int64_t first_row = 0;
  int64_t rows = 0;
  DuplicateRule duplicates;
  PairDropout dropout;
};

/// Lanes are queries. maxima[lane] = max(itself, the scores of visible keys).
void raise_maxima(const TilePairs& pairs, const float* scores, float* maxima);

/// Lanes are queries. With w = exp(score − offset) / N where visible, else 0: sums[lane] += w, and
/// scores become w after dropout.
void weigh(const TilePairs& pairs, float* scores, float* sums);

/// With w as above and g the gradient of its dropped-out value: `gradients` turns from g to
/// d(loss)/d(score) = w · (dropout(g) − delta), and `scores` become w after dropout.
void weigh_backward(const TilePairs& pairs, bool lanes_are_queries, float* scores,
                    float* gradients);

}  // namespace reformer::cpu
