// Where tokens come from. Every sequence is a pure function of the configuration and its index, so
// the data order is the same after a resume, on any number of ranks and in any micro-batches.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "configs/run.pb.h"
#include "kernels/core/view.h"

namespace reformer {

/// Sequences on the host. Row i of `labels` is row i of `tokens` shifted by one: the token to
/// predict, or kIgnoredLabel where nothing is.
struct TokenBatch {
  Tensor tokens;             // Int32 [samples, length]
  Tensor labels;             // Int32 [samples, length]
  int64_t valid_labels = 0;  // labels that count
};

/// A batch to be filled: no label counts yet.
TokenBatch make_batch(int64_t samples, int64_t length);

/// Uniform in [0, bound), a function of its arguments: what part of the data the sequence `sample`
/// of training step `step` is. REQUIRES: bound >= 1.
int64_t draw_sample(uint64_t seed, int64_t step, int64_t sample, int64_t bound);

/// Thread-safe: all members are const.
class Dataset {
 public:
  virtual ~Dataset() = default;

  /// Samples [first_sample, first_sample + samples) of the batch of training step `step`, each a
  /// function of (training.seed, step, sample). Every sample has a label that counts.
  virtual TokenBatch training_batch(int64_t step, int64_t first_sample, int64_t samples) const = 0;

  /// Held-out sequences to evaluate: evaluation.sequences of them, or all.
  virtual int64_t validation_sequences() const = 0;

  /// Held-out sequences [first, first + samples).
  virtual TokenBatch validation_batch(int64_t first, int64_t samples) const = 0;

  /// What it is, in words, for the log.
  virtual std::string description() const = 0;
};

/// What one token is: "byte", "character" or "token".
const char* token_name(const config::Data& data);

/// The dataset that `run` asks for. Throws DataError when the file is missing, unreadable, empty,
/// not of the kind asked for, or too short for one sequence in either part, ConfigError when
/// model.vocabulary does not hold every token that it may give.
std::unique_ptr<Dataset> make_dataset(const config::Run& run);

}  // namespace reformer
