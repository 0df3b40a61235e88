// The duplication task (paper, section 5): 0w0w, with w of random symbols. The second w can be
// predicted without error by a model that finds the first.
#pragma once

#include "trainer/data/dataset.h"

namespace reformer {

/// |w| = length / 2 − 1, symbols 1 … data.symbols. Only the symbols of the second w count.
class DuplicationDataset final : public Dataset {
 public:
  explicit DuplicationDataset(const config::Run& run);

  TokenBatch training_batch(int64_t step, int64_t first_sample, int64_t samples) const override;
  int64_t validation_sequences() const override { return validation_sequences_; }
  TokenBatch validation_batch(int64_t first, int64_t samples) const override;
  std::string description() const override;

 private:
  TokenBatch make_batch(uint64_t step, uint32_t stream, int64_t first, int64_t samples) const;

  int64_t length_;
  int64_t symbols_;
  uint64_t seed_;
  int64_t validation_sequences_;
};

}  // namespace reformer
