// The buckets that a forward pass chose, to freeze those of a decoder.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "trainer/model/attention_core.h"

namespace reformer {

class ForwardBuckets {
 public:
  /// For one text of `length` tokens.
  explicit ForwardBuckets(int64_t length) : length_(length) {}

  /// Takes what a ReversibleStack shows of a pass over the text (AttentionObserver).
  void observe(Backend& backend, const ObservedAttention& observed);

  /// [H, R] of one token in a hashed layer.
  std::vector<int32_t> of(int layer, int64_t position) const;

 private:
  int64_t length_;
  std::vector<std::vector<int32_t>> bucket_of_;  // by layer, [H, R, T]; empty unless hashed
};

}  // namespace reformer
