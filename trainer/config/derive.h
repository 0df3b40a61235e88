// Numbers that follow from others when the configuration leaves them out. Pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "configs/run.pb.h"

namespace reformer {

/// Bucket counts beyond this are factored in two: a rotation then has half the sum of the factors
/// as columns instead of half their product.
inline constexpr int64_t kLargestPlainBucketCount = 128;

/// The bucket number must fit an Int32, together with the two beyond the last (BucketSortArgs).
inline constexpr int64_t kLargestBucketCount = 2147483645;

/// Even factors of the bucket count. STRICT: about max_length / chunk_length, one chunk for each
/// bucket; CHUNKED: 2·⌊max_length / chunk_length⌋, the rule of trax. Rounded up to an even number
/// and, beyond kLargestPlainBucketCount, to the least product of two even factors of which neither
/// is more than about twice the other. REQUIRES: max_length >= 1, chunk_length >= 1.
std::vector<int64_t> derive_buckets(config::Lsh::Mode mode, int64_t max_length,
                                    int64_t chunk_length);

/// Two near-square axes whose product is at least, and hardly more than, max_length. REQUIRES:
/// max_length >= 1.
std::vector<int64_t> derive_position_shape(int64_t max_length);

/// A quarter of the width for the first of two axes, the rest for the second; the slow axis has
/// less to tell. REQUIRES: width >= 2.
std::vector<int64_t> derive_position_widths(int64_t width);

/// Longest sequence that LSH layers do not hash: FULL attention sees as much for less.
int64_t longest_unhashed(const config::Lsh& lsh);

/// model.max_length, or data.length when it is 0.
int64_t max_length_of(const config::Run& run);

/// Most ranks that can share a sequence: each takes a leaf of it, and in FULL layers a head.
struct RanksOfSequence {
  int64_t count = 1;
  const char* part = "";  // what there are no more of, in words
};
RanksOfSequence most_ranks_of_sequence(const config::Run& run);

}  // namespace reformer
