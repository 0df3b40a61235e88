#include "comm/buckets.h"

#include <algorithm>

namespace reformer {

std::vector<Slice> even_slices(int64_t begin, int64_t end, int ranks) {
  CHECK(begin % kSliceAlignment == 0 && end % kSliceAlignment == 0);
  const int64_t blocks = (end - begin) / kSliceAlignment;
  const auto boundary = [&](int64_t rank) {
    return begin + blocks * rank / ranks * kSliceAlignment;
  };
  std::vector<Slice> slices;
  for (int rank = 0; rank < ranks; ++rank) slices.push_back({boundary(rank), boundary(rank + 1)});
  return slices;
}

std::vector<Slice> whole_slices(const std::vector<Slice>& units, int ranks, int first_rank) {
  CHECK(!units.empty());
  const int64_t begin = units.front().begin;
  const int64_t elements = units.back().end - begin;
  std::vector<Slice> slices(static_cast<size_t>(ranks), {begin, begin});
  int64_t end = begin;
  for (const Slice& unit : units) {
    CHECK_EQ(unit.begin, end);
    end = unit.end;
    // The share of the buffer in which the middle of the unit lies; doubled to stay whole.
    const int64_t twice_middle = unit.begin + unit.end - 2 * begin;
    const int64_t share = elements == 0 ? 0 : twice_middle * ranks / (2 * elements);
    const int64_t run = std::min<int64_t>(share, ranks - 1);
    Slice& slice = slices[static_cast<size_t>((run + first_rank) % ranks)];
    if (slice.elements() == 0) slice.begin = unit.begin;
    slice.end = unit.end;
  }
  return slices;
}

void BucketExchange::start(size_t index) {
  CHECK_EQ(index, pending_.size());
  const Bucket& bucket = buckets_[index];
  pending_.push_back(
      kind_ == Kind::kReduce
          ? communicator_.start_reduce_scatter_sum(flat_, bucket.slices,
                                                   "gradients of " + bucket.name)
          : communicator_.start_all_gather(flat_, bucket.slices, "parameters of " + bucket.name));
}

void BucketExchange::finish() {
  while (pending_.size() < buckets_.size()) start(pending_.size());
  for (Pending& operation : pending_) operation.wait();
}

}  // namespace reformer
