#include "trainer/data/task.h"

#include <vector>

#include "kernels/backend.h"

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
    : length_(run.data().length()),
      seed_(run.training().seed()),
      validation_sequences_(run.evaluation().sequences() > 0 ? run.evaluation().sequences()
                                                             : kHeldOutSequences) {}

TokenBatch TaskDataset::training_batch(int64_t step, int64_t first_sample, int64_t samples) const {
  return make_batch(static_cast<uint64_t>(step), kTrainingStream, first_sample, samples);
}

TokenBatch TaskDataset::validation_batch(int64_t first, int64_t samples) const {
  CHECK(0 <= first && first + samples <= validation_sequences_);
  return make_batch(0, kHeldOutStream, first, samples);
}

TokenBatch TaskDataset::make_batch(uint64_t step, uint32_t stream, int64_t first,
                                   int64_t samples) const {
  TokenBatch batch = reformer::make_batch(samples, length_);
  const PhiloxKey key = make_key(seed_, RandomUse::kTask, step, stream);
  const auto length = static_cast<size_t>(length_);
  for (int64_t row = 0; row < samples; ++row) {
    const std::span tokens(batch.tokens.data<int32_t>() + row * length_, length);
    const std::span labels(batch.labels.data<int32_t>() + row * length_, length);
    std::vector<uint8_t> predictable(length, 0);
    make_sequence(TaskRandom(key, static_cast<uint64_t>(first + row)), tokens, predictable);
    for (size_t i = 0; i < length; ++i) {
      const bool counts = i + 1 < length && predictable[i + 1] != 0;
      labels[i] = counts ? tokens[i + 1] : kIgnoredLabel;
      batch.valid_labels += counts;
    }
  }
  return batch;
}

}  // namespace reformer
