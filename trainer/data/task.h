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
  TokenBatch training_batch(int64_t step, int64_t first_sample, int64_t samples) const final;
  int64_t validation_sequences() const final { return validation_sequences_; }
  TokenBatch validation_batch(int64_t first, int64_t samples) const final;

 protected:
  explicit TaskDataset(const config::Run& run);

  /// Fills the data.length tokens of a sequence, and sets predictable[i] to 1 where token i follows
  /// from those before it: these alone become labels. `predictable` comes as zeros; token 0 is
  /// predicted from nothing.
  virtual void make_sequence(const TaskRandom& random, std::span<int32_t> tokens,
                             std::span<uint8_t> predictable) const = 0;

  int64_t length() const { return length_; }

 private:
  TokenBatch make_batch(uint64_t step, uint32_t stream, int64_t first, int64_t samples) const;

  int64_t length_;
  uint64_t seed_;
  int64_t validation_sequences_;
};

}  // namespace reformer
