// How well the hash of each LSH layer and head does its work: whether the keys that matter are
// among those that are seen, and how evenly the buckets are filled.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/mesh.h"
#include "trainer/model/attention_core.h"

namespace reformer {

struct HeadHealth {
  int layer = 0;
  int64_t head = 0;
  // Of the attention that a query would pay to all keys it may see, if nothing were hashed, the
  // share that falls on keys it does see in any round. Mean over sampled queries.
  double found_mass = 0;
  // Share of tokens, over all rounds, whose bucket begins before the first slot they see: the
  // window is too short for the bucket.
  double window_overflow = 0;
  double occupied_buckets = 0;  // share of buckets that hold a token
  double largest_bucket = 0;    // its size, as a multiple of length / buckets

  friend bool operator==(const HeadHealth&, const HeadHealth&) = default;
};

/// Whether there is anything to look at.
bool has_hashed_layer(const ModelSpec& spec);

class LshHealth {
 public:
  /// False where ranks share the buckets of a sequence, so that none has a head whole.
  static bool can_observe(const Mesh& mesh) { return mesh.bucket_size() == 1; }
  /// What to say then.
  static constexpr const char* kNotObserved =
      "how well the hash works is not looked at: ranks share the buckets of a sequence, and none "
      "has a head whole";

  /// Samples `queries` queries of each sequence and LSH layer; which, depends on `seed` alone.
  LshHealth(const ModelSpec& spec, int64_t queries, uint64_t seed);

  /// Looks at the attention of some heads over a micro-batch of whole sequences, as a
  /// ReversibleStack shows it (AttentionObserver). Other layers than LSH are passed over.
  void observe(Backend& backend, const ObservedAttention& observed);

  /// What all ranks have seen, by layer and head; the same however many ranks there are and
  /// whatever they share. Collective.
  std::vector<HeadHealth> result(Communicator& communicator) const;

 private:
  /// Sums of one head. Integers, so that their order does not matter.
  struct Tally {
    int64_t queries = 0;
    int64_t mass = 0;  // in units of kMassStep
    int64_t slots = 0;
    int64_t overflows = 0;
    int64_t lists = 0;  // of slots: one for each sequence and round
    int64_t occupied = 0;
    int64_t largest = 0;
  };
  struct Head;

  Tally& tally(int layer, int64_t head);
  std::vector<int32_t> sample_positions(int layer, const TokenLayout& layout, int64_t sample) const;
  void count_buckets(const Head& head, Tally& tally) const;
  double found_mass(const Head& head, int32_t position, const std::vector<float>& scores) const;

  const ModelSpec& spec_;
  int64_t queries_;
  uint64_t seed_;
  std::vector<size_t> first_;  // by layer: its first tally
  std::vector<Tally> tallies_;
};

/// The head that finds least, and the means over all. REQUIRES: not empty.
const HeadHealth& least_found(const std::vector<HeadHealth>& health);
double mean_of(const std::vector<HeadHealth>& health, double HeadHealth::*value);

/// "LSH finds 81.2% of the attention, least 54.0% in layer 3, head 1". REQUIRES: not empty.
std::string summarize(const std::vector<HeadHealth>& health);

/// A line for each head, under a line of titles.
std::string describe(const std::vector<HeadHealth>& health);

}  // namespace reformer
