// What one attention layer keeps of the sequences that are being decoded: keys, values and buckets.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "trainer/model/attention_core.h"
#include "trainer/model/pass.h"
#include "trainer/model/sorted_tokens.h"

namespace reformer {

/// Called with the buckets [H, R] of a new token in a hashed layer before they are used; may change
/// them.
using HashHook = std::function<void(int layer, int64_t sequence, std::span<int32_t> bucket_of)>;

class LayerCache {
 public:
  /// For `sequences` sequences of at most `capacity` tokens; takes its memory, for good, from
  /// pass.arena. Of `pass` backend, arena, spec and rotations are used, which must outlive it.
  LayerCache(const Pass& pass, int layer, int64_t sequences, int64_t capacity);

  /// Takes the tokens of a forward pass over the start of one sequence, from projected activations
  /// and filled slots. REQUIRES: nothing of this sequence is here.
  void fill(int64_t sequence, const AttentionActivations& activations, const Slots& slots);

  /// Takes one more token of each sequence listed: row b of the projected activations of `pass`
  /// belongs to sequences[b].
  void append(const Pass& pass, const AttentionActivations& activations,
              std::span<const int32_t> sequences, const HashHook& hook);

  /// Sets activations.out to what the newest tokens of these sequences see, themselves included.
  void attend(const AttentionActivations& activations, std::span<const int32_t> sequences) const;

 private:
  const AttentionPattern& pattern() const {
    return spec_.layers[static_cast<size_t>(layer_)].attention;
  }
  const SortedTokens& sorted(int64_t sequence) const {
    return sorted_[static_cast<size_t>(sequence)];
  }
  void copy_rows(const AttentionActivations& activations, int64_t first, int64_t count,
                 int64_t sequence, int64_t position) const;
  std::vector<int32_t> hash(const Pass& pass, const View& query) const;
  View upload(std::span<const int32_t> values, const Shape& shape) const;

  Backend& backend_;
  Arena& arena_;
  const ModelSpec& spec_;
  int layer_;
  int64_t rows_;                      // for each sequence; position p is in row p % rows_
  int64_t most_seen_;                 // most keys that one token sees in one head
  View keys_;                         // [sequences · rows, H·D]
  View values_;                       // [sequences · rows, H·D]
  View rotations_;                    // absent unless hashed
  std::vector<SortedTokens> sorted_;  // by sequence
};

}  // namespace reformer
