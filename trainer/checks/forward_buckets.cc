#include "trainer/checks/forward_buckets.h"

#include <algorithm>

namespace reformer {

void ForwardBuckets::observe(Backend& backend, const ObservedAttention& observed) {
  const Slots& slots = observed.slots;
  const auto index = static_cast<size_t>(observed.layer);
  bucket_of_.resize(std::max(bucket_of_.size(), index + 1));
  if (!slots.order.defined()) return;
  std::vector<int32_t> order(static_cast<size_t>(slots.order.elements()));
  std::vector<int32_t> bucket_begin(static_cast<size_t>(slots.bucket_begin.elements()));
  backend.download(slots.order, order.data());
  backend.download(slots.bucket_begin, bucket_begin.data());
  std::vector<int32_t>& bucket_of = bucket_of_[index];
  bucket_of.resize(order.size());
  const auto length = static_cast<size_t>(length_);
  const auto begins = static_cast<size_t>(slots.bucket_begin.shape()[3]);  // N + 2
  for (size_t list = 0; list < order.size() / length; ++list) {
    const int32_t* const begin = bucket_begin.data() + list * begins;
    for (size_t bucket = 0; bucket + 1 < begins; ++bucket) {
      for (int32_t slot = begin[bucket]; slot < begin[bucket + 1]; ++slot) {
        const auto token = static_cast<size_t>(order[list * length + static_cast<size_t>(slot)]);
        bucket_of[list * length + token] = static_cast<int32_t>(bucket);
      }
    }
  }
}

std::vector<int32_t> ForwardBuckets::of(int layer, int64_t position) const {
  const std::vector<int32_t>& bucket_of = bucket_of_[static_cast<size_t>(layer)];
  std::vector<int32_t> buckets;
  for (size_t i = static_cast<size_t>(position); i < bucket_of.size();
       i += static_cast<size_t>(length_)) {
    buckets.push_back(bucket_of[i]);
  }
  return buckets;
}

}  // namespace reformer
