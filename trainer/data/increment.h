// The increment task: counting on. Every sequence goes up by a stride of its own, around the circle
// of symbols, and a model that has seen two of its symbols can say all others. With 9 symbols,
// start 7 and stride 2:
//
//   tokens   0 7 9 2 4 6 8 1
//   counts         * * * * *
#pragma once

#include "trainer/data/task.h"

namespace reformer {

/// 0, then 1 + (start + i·stride) mod data.symbols for i = 0, 1, …: start and stride are random,
/// the stride from 1 to data.max_stride. All symbols but the first two count.
class IncrementDataset final : public TaskDataset {
 public:
  /// REQUIRES: data.length >= 4, data.max_stride < data.symbols.
  explicit IncrementDataset(const config::Run& run);

  std::string description() const override;

 private:
  void make_sequence(const TaskRandom& random, std::span<int32_t> tokens,
                     std::span<uint8_t> predictable) const override;

  int64_t symbols_;
  int64_t max_stride_;
};

}  // namespace reformer
