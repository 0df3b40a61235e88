// The duplication task (paper, section 5): 0w0w, with w of random symbols. The second w can be
// predicted without error by a model that finds the first.
#pragma once

#include "trainer/data/task.h"

namespace reformer {

/// |w| = length / 2 − 1, symbols 1 … data.symbols. Only the symbols of the second w count.
class DuplicationDataset final : public TaskDataset {
 public:
  explicit DuplicationDataset(const config::Run& run);

  std::string description() const override;

 private:
  void make_sequence(const TaskRandom& random, std::span<int32_t> tokens,
                     std::span<uint8_t> predictable) const override;

  int64_t symbols_;
};

}  // namespace reformer
