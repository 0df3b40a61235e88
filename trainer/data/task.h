// Made-up sequences in endless supply: what the tasks beside this file have in common.
#pragma once

#include <span>

#include "kernels/core/philox.h"
#include "trainer/data/dataset.h"

namespace reformer {

/// Random numbers of one sequence, each a function of its index alone.
class TaskRandom {
 public:
  TaskRandom(PhiloxKey key, uint64_t sample) : key_(key), sample_(sample) {}

  /// Uniform in [0, bound); the same for the same `index`. REQUIRES: bound >= 1.
  int64_t below(int64_t bound, int64_t index) const;

 private:
  PhiloxKey key_;
  uint64_t sample_;
};

/// A task says what one sequence is. Training sequences are functions of (training.seed, step,
/// sample); held-out ones are drawn under keys of their own, evaluation.sequences of them, or 64.
class TaskDataset : public Dataset {
 public:
  int64_t validation_sequences() const final { return validation_sequences_; }

 protected:
  explicit TaskDataset(const config::Run& run);

  /// Fills the data.length tokens of a sequence, and sets predictable[i] to 1 where token i follows
  /// from those before it: these alone become labels. `predictable` comes as zeros; token 0 is
  /// predicted from nothing.
  virtual void make_sequence(const TaskRandom& random, std::span<int32_t> tokens,
                             std::span<uint8_t> predictable) const = 0;

  void fill_training(int64_t step, int64_t sample, const DataRange& positions,
                     const TokenRow& row) const final;
  void fill_validation(int64_t sequence, const DataRange& positions,
                       const TokenRow& row) const final;

 private:
  void fill_row(const TaskRandom& random, const DataRange& positions, const TokenRow& row) const;

  uint64_t seed_;
  int64_t validation_sequences_;
};

}  // namespace reformer
