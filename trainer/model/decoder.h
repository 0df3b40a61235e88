// Incremental decoding. Keys and values of earlier tokens are cached, and their buckets are
// remembered, so one more token of a sequence costs O(rounds · chunk_length) in a STRICT or LOCAL
// layer, however long the text is; in a CHUNKED layer also O(rounds · buckets), to find its chunk;
// in a FULL layer O(length).
//
// In STRICT, LOCAL and FULL layers a token never sees later ones, so decoding computes what the
// forward pass over the whole text computes. In CHUNKED layers earlier tokens would look elsewhere
// once later ones have shifted the chunks; here they keep what they saw when they were the newest.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "trainer/model/layer_cache.h"
#include "trainer/model/parameters.h"
#include "trainer/model/reformer.h"

namespace reformer {

/// Whether every layer is causal: only then there is a next token to predict.
bool can_decode(const ModelSpec& spec);

class Decoder {
 public:
  struct Options {
    Backend& backend;
    Arena& arena;  // of the parameters, the caches and all scratch memory
    const ModelSpec& spec;
    View parameters;                    // Float32 [flat_elements(spec)]
    std::span<const Tensor> rotations;  // of every layer, on the host; see rotations.h
    int64_t sequences = 1;              // decoded side by side
    int64_t capacity = 1;               // most tokens of each
  };

  /// What `options` refers to must outlive the decoder. REQUIRES: can_decode(spec), and
  /// capacity <= spec.max_length.
  explicit Decoder(const Options& options);

  int64_t capacity() const { return options_.capacity; }
  int64_t length(int64_t sequence) const { return length_[static_cast<size_t>(sequence)]; }

  /// Reads the first tokens of a sequence in one forward pass. Returns the logits of the last of
  /// them, [1, vocabulary]. REQUIRES: length(sequence) == 0 and 1 <= tokens <= capacity().
  Tensor prefill(int64_t sequence, std::span<const int32_t> tokens);

  /// Reads one more token of each sequence listed, none of them twice. Returns their logits,
  /// [sequences, vocabulary]. REQUIRES: each is shorter than capacity().
  Tensor step(std::span<const int32_t> sequences, std::span<const int32_t> tokens);

  /// Lets `step` show the buckets of new tokens.
  void set_hash_hook(HashHook hook) { hash_hook_ = std::move(hook); }

  /// How many values left the range of a residual stream so far; what was decoded with any is not
  /// to be trusted.
  int64_t faults() const;

 private:
  Pass pass_over(int64_t tokens) const;
  void embed(const Pass& pass, std::span<const int32_t> sequences, std::span<const int32_t> tokens,
             const Streams& x) const;
  void add_attention(const Pass& pass, int layer, std::span<const int32_t> sequences,
                     const Streams& x);
  Tensor to_host(const View& logits) const;

  Options options_;
  Reformer model_;
  ModelTensors weights_;
  View faults_;  // Int64 [layers + 2, kFaultKinds]
  std::vector<LayerCache> caches_;
  std::vector<int64_t> length_;  // by sequence
  HashHook hash_hook_;
};

}  // namespace reformer
