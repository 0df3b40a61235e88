// The tokens of one sequence, sorted by bucket, while the sequence grows: the order and
// bucket_begin of bucket_sort for a decoder that adds one token at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/lsh_layout.h"
#include "trainer/model/model_spec.h"

namespace reformer {

class SortedTokens {
 public:
  /// For one layer; kinds that do not hash have no buckets, and nothing is kept for them.
  explicit SortedTokens(const LayerSpec& layer);

  int64_t length() const { return length_; }

  /// Memory that the lists of `tokens` tokens take, at most.
  static size_t bytes(const LayerSpec& layer, int64_t tokens);

  /// Takes a whole sequence in sorted order; see BucketSortArgs. order [H, R, T], bucket_begin
  /// [H, R, N + 2]; both null unless hashed. REQUIRES: length() == 0.
  void assign(int64_t length, const int32_t* order, const int32_t* bucket_begin);

  /// Adds the next token. bucket_of [H, R], each in [0, N); empty unless hashed.
  void append(std::span<const int32_t> bucket_of);

  /// Sets `seen` to the positions that the newest token sees in one head, as kernels/lsh_layout.h
  /// has it when the sequence ends there: round after round in slot order. A token seen in several
  /// rounds is listed as often, or once with pattern.correct_duplicates, since each of N times
  /// counts 1/N. O(rounds · chunk_length); kChunked also O(rounds · N). REQUIRES: length() >= 1.
  void list_seen(int64_t head, std::vector<int32_t>& seen) const;

 private:
  using Bucket = std::vector<int32_t>;  // positions, ascending

  void make_buckets();
  std::span<const Bucket> buckets_of(int64_t head, int64_t round) const;
  void list_strict(int64_t head, std::vector<int32_t>& seen) const;
  void list_chunked(int64_t head, std::vector<int32_t>& seen) const;
  void list_unhashed(std::vector<int32_t>& seen) const;

  AttentionPattern pattern_;
  int64_t num_buckets_ = 0;  // N; 0 unless hashed
  int64_t length_ = 0;
  std::vector<Bucket> buckets_;  // [H, R, N]; empty before the first token
  std::vector<int32_t> newest_;  // [H, R]: the bucket of the newest token
};

}  // namespace reformer
