// LSH attention of one layer whose sorted slots are shared among the ranks of a group, with the
// bits of one rank.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "trainer/model/attention_core.h"
#include "trainer/model/sequence/lane_pipeline.h"
#include "trainer/model/sequence/lane_routes.h"

namespace reformer {

/// The tokens and heads of a hashed layer that are here. Each of `ranks` has the same heads of
/// other tokens of the same sequences, in the order of the ranks.
struct BucketShare {
  Communicator& ranks;
  int64_t length = 1;        // T, of the whole sequence
  TokenLayout layout;        // of the tokens here: B sequences, t tokens of each
  std::vector<Slice> heads;  // of the layer, H in all, in pieces that follow each other
  View mask;                 // Uint8 [B, t], 0 = masked; or absent
};

/// One layer of one pass, which must outlive it. Each rank owns a range of the slots of every round
/// (slot_windows.h). A token's query and value go, once, to each rank whose windows have one of its
/// slots; there each round is attended to; the sums of each round come back and are added up here.
/// The backward pass goes the same ways. No gradient of a halo has to be returned: all queries that
/// see an own slot are in its window, so its owner has the whole gradient of it as a key.
///
/// All this is done lane by lane: the tokens of the next lane travel while one is attended to, and
/// so do the results of the one before. Who sends what is found on the host, which for this gets
/// the buckets or the slots once in each pass.
///
/// Sizes of what is taken from the arena depend on shapes alone. On a backend that computes nothing
/// slots are made up.
///
/// Activations are [t, heads · D] for sample after sample and, of each, for piece after piece of
/// the heads. lse is [B, H, t]. All but allocate_slots is collective.
class BucketAttention {
 public:
  BucketAttention(const Pass& pass, int layer, const BucketShare& share);

  /// slot and bucket_begin.
  Slots allocate_slots() const;

  /// Hashes the queries and numbers the slots of all ranks.
  void hash_and_number(const View& query, const Slots& slots);

  /// Fills activations.out and activations.lse. What arrives from other ranks stays in the arena
  /// for `backward`.
  void attend(const AttentionActivations& activations, const Slots& slots);

  /// From dout to the other gradients. Fetches what `attend` would have, unless that was called.
  void backward(const AttentionActivations& activations, const Slots& slots,
                const AttentionGradients& gradients);

 private:
  struct Lane {
    int64_t index = 0;
    int64_t sample = 0;
    int64_t head = 0;  // of those here
    LaneRoute route;
    View sent;        // Int32 [n]: tokens that leave, as rows of activations
    View result_row;  // Int32 [1, 1, R, t]; see CombineRoundsArgs
    // Of the M tokens that are here for their slots:
    View query;     // activation [M, D]
    View value;     // activation [M, D]
    View position;  // Int32 [M]
    View row;       // Int32 [1, R, held]
    View slot_in;   // Int32 [1, M, R]; with correct_duplicates only
    View results;   // Int32 [R · own]: results here as rows, rank by rank
  };
  /// Rows of a lane in activations [B · t · H, D]: that of token i is first + i · stride.
  struct Rows {
    int64_t first = 0;
    int64_t stride = 1;

    int32_t of(int64_t token) const { return static_cast<int32_t>(first + token * stride); }
  };
  struct Labels {
    Tensor sent;
    Tensor received;
    RowExchange exchange;
  };

  const LayerSpec& spec() const { return pass_.spec.layers[static_cast<size_t>(layer_)]; }
  int64_t tokens() const { return share_.layout.length; }
  int64_t lanes() const { return share_.layout.samples * pattern_.heads; }
  int64_t rounds() const { return pattern_.rounds; }
  SlotRange own() const { return windows_.own(share_.ranks.rank()); }
  int64_t own_results() const { return rounds() * own().size(); }
  int64_t most_sent() const { return windows_.most_tokens_sent(tokens()); }
  int64_t most_held() const { return windows_.most_tokens_held(share_.ranks.rank()); }

  void prepare(const Slots& slots);
  void load_slots(const Slots& slots);
  void upload_permutations();
  void make_lane(int64_t index, LaneRoute route);
  std::span<const int32_t> slots_of(const Lane& lane) const;
  Rows rows_of(int64_t lane) const;

  void send(const Lane& lane, const AttentionActivations& activations, Leg& leg);
  void send_labels(const Lane& lane);
  void receive(const Lane& lane, Leg& leg);
  void fetch(const AttentionActivations& activations);
  void return_results(const Lane& lane, const View& first, const View& second, Leg& leg) const;

  AttentionPartArgs part_args(const Lane& lane, const Slots& slots) const;
  TokenLayout layout_of(int64_t sample) const;
  View mask_of(int64_t sample) const;
  View rows(const View& activation) const;
  View part_memory(int64_t width) const;
  View activation(int64_t rows) const;
  View integers(const Shape& shape) const;
  RowFormat activation_format() const { return {pass_.spec.compute_dtype, pattern_.head_dim}; }
  void upload(std::span<const int32_t> values, const View& view) const;
  void gather(const View& x, const View& index, const View& y) const;

  const Pass& pass_;
  int layer_;
  BucketShare share_;
  AttentionPattern pattern_;  // with the heads here
  SlotWindows windows_;
  // Empty before `prepare`:
  std::vector<int32_t> slots_;         // [B, H, R, t]
  std::vector<int32_t> first_masked_;  // [B, H]: slot
  std::vector<Lane> lanes_;            // [B, H]
  View to_lanes_;                      // Int32 [B · H · t]: rows of activations, lane by lane
  View to_rows_;                       // Int32 [B · t · H]: the inverse
  std::array<Labels, 2> labels_;       // as Legs
  bool fetched_ = false;
};

}  // namespace reformer
