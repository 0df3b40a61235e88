// Gradient buckets: parts of a flat buffer that are reduced, and later gathered, one by one while
// the rank computes. Every rank owns a slice of every bucket (ZeRO-1: Rajbhandari et al., SC 2020):
// it gets the sum there, keeps the optimizer state there, and updates the parameters there.
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"

namespace reformer {

struct Bucket {
  std::string name;
  std::vector<Slice> slices;  // of the flat buffer by rank: consecutive in some order of the ranks
};

/// Slices begin at multiples of this, so that vector code sees the same blocks on any rank.
inline constexpr int64_t kSliceAlignment = 64;

/// [begin, end) in one slice for each rank, equal up to the alignment; with fewer blocks than ranks
/// some are empty. REQUIRES: begin and end are multiples of kSliceAlignment.
std::vector<Slice> even_slices(int64_t begin, int64_t end, int ranks);

/// The same without cutting any of `units`, which are consecutive. The first slice goes to rank
/// `first_rank` mod ranks, so that buckets with equal units load all ranks in turn.
std::vector<Slice> whole_slices(const std::vector<Slice>& units, int ranks, int first_rank);

/// One operation for each bucket of a flat buffer, started in the order of the list.
class BucketExchange {
 public:
  enum class Kind {
    kReduce,  // the own slice becomes the sum over ranks
    kGather,  // the other slices become those of their owners
  };

  /// All arguments must outlive the exchange.
  BucketExchange(Kind kind, Communicator& communicator, const std::vector<Bucket>& buckets,
                 const View& flat)
      : kind_(kind), communicator_(communicator), buckets_(buckets), flat_(flat) {}

  /// The next bucket, which must be `index`, may be exchanged from now on.
  void start(size_t index);

  /// Starts the buckets that have not been, and returns when all are complete.
  void finish();

 private:
  Kind kind_;
  Communicator& communicator_;
  const std::vector<Bucket>& buckets_;
  const View& flat_;
  std::vector<Pending> pending_;
};

}  // namespace reformer
