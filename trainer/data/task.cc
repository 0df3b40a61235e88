#include "trainer/data/task.h"

#include <vector>

namespace reformer {
namespace {

// Streams of random numbers, drawn under different keys: independent of each other.
constexpr uint32_t kTrainingStream = 0;
constexpr uint32_t kHeldOutStream = 1;
// Held-out sequences when evaluation.sequences asks for all of an endless supply.
constexpr int64_t kHeldOutSequences = 64;

}  // namespace

int64_t TaskRandom::below(int64_t bound, int64_t index) const {
  CHECK_GE(bound, 1);
  const PhiloxBlock bits =
      philox(key_, {static_cast<uint32_t>(index), static_cast<uint32_t>(sample_),
                    static_cast<uint32_t>(sample_ >> 32), 0});
  return static_cast<int64_t>(bounded(bits, static_cast<uint64_t>(bound)));
}

TaskDataset::TaskDataset(const config::Run& run)
    : Dataset(run.data().length()),
      seed_(run.training().seed()),
      validation_sequences_(run.evaluation().sequences() > 0 ? run.evaluation().sequences()
                                                             : kHeldOutSequences) {}

void TaskDataset::fill_training(int64_t step, int64_t sample, const DataRange& positions,
                                const TokenRow& row) const {
  const PhiloxKey key =
      make_key(seed_, RandomUse::kTask, static_cast<uint64_t>(step), kTrainingStream);
  fill_row(TaskRandom(key, static_cast<uint64_t>(sample)), positions, row);
}

void TaskDataset::fill_validation(int64_t sequence, const DataRange& positions,
                                  const TokenRow& row) const {
  const PhiloxKey key = make_key(seed_, RandomUse::kTask, 0, kHeldOutStream);
  fill_row(TaskRandom(key, static_cast<uint64_t>(sequence)), positions, row);
}

void TaskDataset::fill_row(const TaskRandom& random, const DataRange& positions,
                           const TokenRow& row) const {
  const auto whole = static_cast<size_t>(length());
  std::vector<int32_t> tokens(whole);
  std::vector<uint8_t> predictable(whole, 0);
  make_sequence(random, tokens, predictable);
  const auto begin = static_cast<size_t>(positions.begin);
  for (size_t i = 0; i < row.tokens.size(); ++i) {
    const size_t next = begin + i + 1;
    row.tokens[i] = tokens[begin + i];
    if (next < whole && predictable[next] != 0) row.labels[i] = tokens[next];
  }
}

}  // namespace reformer
