// Naive twins of the hash and the sort, in double precision where that matters.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace reformer::reference {

struct Hashes {
  std::vector<int32_t> bucket_of;  // [B, H, R, T]
  // By how much the largest of [xR; −xR] exceeds the next one, relative to it; over all factors the
  // least. Equal values count as decided: the first wins. 1 for masked tokens.
  std::vector<double> margin;  // [B, H, R, T]
};

/// Reads the inputs of `args`, not bucket_of.
Hashes lsh_hash(const LshHashArgs& args);

struct SortedBuckets {
  std::vector<int32_t> order;         // [lists, T]
  std::vector<int32_t> bucket_begin;  // [lists, N + 2]
};

/// `bucket_of` holds lists of `length` buckets.
SortedBuckets bucket_sort(const std::vector<int32_t>& bucket_of, int64_t length,
                          int64_t num_buckets);

}  // namespace reformer::reference
