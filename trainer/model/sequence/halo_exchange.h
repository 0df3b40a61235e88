// Local attention of a sequence whose tokens are spread over ranks: each attends for its own tokens
// and fetches those around them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/lsh_layout.h"
#include "trainer/model/attention_core.h"

namespace reformer {

/// Forward, a rank fetches the keys and values that its queries see; backward also the queries that
/// see its keys, with what belongs to them. So every gradient is whole where its token is, and no
/// other exchange is needed. What is fetched may come from several ranks.
class HaloExchange final : public AttentionCore {
 public:
  /// Between the ranks of pass.sequence.
  HaloExchange(const Pass& pass, int layer);

  Slots allocate_slots() const override { return {}; }
  void sort_and_attend(const AttentionActivations& activations, const Slots& slots) override;
  void attend(const AttentionActivations& activations, const Slots& slots) override;
  void backward(const AttentionActivations& activations, const Slots& slots,
                const AttentionGradients& gradients) override;

 private:
  /// Tokens around those of a rank.
  enum class Reach {
    kSeen,    // by its queries
    kSeeing,  // its keys
    kAround,  // both
  };

  /// Tables on the backend, the same for every sequence.
  struct Tables {
    View row;         // Int32 [H, 1, M]: tokens around the own ones, M, are rows in their order
    View position;    // Int32 [M]; without a mask
    View result_row;  // Int32 [1, H, 1, L]
    View lse_row;     // Int32 [L·H]: lse [H, L] by token
  };
  /// What is here of one sequence: M rows, of which those out of reach are zeros.
  struct Sample {
    int64_t index = 0;
    View position;  // Int32 [M]; see AttentionPartArgs
    View key;       // [M, H·D]
    View value;     // [M, H·D]
  };

  Tables upload_tables() const;
  Sample fetch_sample(const Tables& tables, const AttentionActivations& activations,
                      int64_t index) const;
  View fetch_positions(int64_t sample) const;
  void fetch(const AttentionActivations& activations);
  void attend(const Tables& tables, const Sample& sample,
              const AttentionActivations& activations) const;
  void backward(const Tables& tables, const Sample& sample, const AttentionActivations& activations,
                const AttentionGradients& gradients) const;
  AttentionPartArgs part_args(const Tables& tables, const Sample& sample) const;

  SlotRange own() const;
  SlotRange around() const { return reach_of(pass_.sequence->ranks.rank(), Reach::kAround); }
  SlotRange reach_of(int rank, Reach reach) const;
  /// `all` [M, …] gets the rows within reach, of which those of this rank are `here` [L, …].
  [[nodiscard]] Pending start_fetch(const View& here, const View& all, Reach reach) const;
  /// Nothing but those.
  void place(const View& here, const View& all) const;
  void fill_zero_outside(SlotRange rows, const View& all) const;
  View activations_around() const;

  const Pass& pass_;
  int layer_;
  AttentionPattern pattern_;
  SlotRing ring_;
  // From attend() to backward():
  std::optional<Tables> tables_;
  std::vector<Sample> samples_;
};

}  // namespace reformer
