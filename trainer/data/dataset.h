// Where tokens come from. Every sequence is a pure function of the configuration and its index, so
// the data order is the same after a resume, on any number of ranks and in any micro-batches.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "configs/run.pb.h"
#include "kernels/core/view.h"
#include "trainer/data/data_range.h"

namespace reformer {

/// Sequences on the host, or the same part of each. Row i of `labels` is row i of `tokens` shifted
/// by one: the token to predict, or kIgnoredLabel where nothing is. The last label of a part is
/// therefore the first token of the next.
struct TokenBatch {
  Tensor tokens;             // Int32 [samples, positions]
  Tensor labels;             // Int32 [samples, positions]
  int64_t valid_labels = 0;  // labels that count
};

/// A row of a batch, to be filled.
struct TokenRow {
  std::span<int32_t> tokens;
  std::span<int32_t> labels;
};

/// Uniform in [0, bound), a function of its arguments: what part of the data the sequence `sample`
/// of training step `step` is. REQUIRES: bound >= 1.
int64_t draw_sample(uint64_t seed, int64_t step, int64_t sample, int64_t bound);

/// Thread-safe: all members are const.
class Dataset {
 public:
  virtual ~Dataset() = default;

  /// Tokens of a sequence: data.length.
  int64_t length() const { return length_; }

  /// Samples [first_sample, first_sample + samples) of the batch of training step `step`, each a
  /// function of (training.seed, step, sample). Every sample has a label that counts.
  TokenBatch training_batch(int64_t step, int64_t first_sample, int64_t samples) const {
    return training_batch(step, first_sample, samples, {0, length_});
  }
  /// `positions` of them alone: of a file, no more is read than these and the token after.
  TokenBatch training_batch(int64_t step, int64_t first_sample, int64_t samples,
                            const DataRange& positions) const;

  /// Held-out sequences to evaluate: evaluation.sequences of them, or all.
  virtual int64_t validation_sequences() const = 0;

  /// Held-out sequences [first, first + samples).
  TokenBatch validation_batch(int64_t first, int64_t samples) const {
    return validation_batch(first, samples, {0, length_});
  }
  /// `positions` of them alone, as above.
  TokenBatch validation_batch(int64_t first, int64_t samples, const DataRange& positions) const;

  /// What it is, in words, for the log.
  virtual std::string description() const = 0;

 protected:
  explicit Dataset(int64_t length) : length_(length) {}

  /// Fill a row, whose every label is kIgnoredLabel at first, with `positions` of one sequence.
  virtual void fill_training(int64_t step, int64_t sample, const DataRange& positions,
                             const TokenRow& row) const = 0;
  virtual void fill_validation(int64_t sequence, const DataRange& positions,
                               const TokenRow& row) const = 0;

 private:
  template <typename Fill>
  TokenBatch make_batch(int64_t samples, const DataRange& positions, const Fill& fill) const;

  int64_t length_;
};

/// What one token is: "byte", "character" or "token".
const char* token_name(const config::Data& data);

/// The dataset that `run` asks for. Throws DataError when the file is missing, unreadable, empty,
/// not of the kind asked for, or too short for one sequence in either part, ConfigError when
/// model.vocabulary does not hold every token that it may give.
std::unique_ptr<Dataset> make_dataset(const config::Run& run);

}  // namespace reformer
