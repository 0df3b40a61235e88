#include "trainer/data/duplication.h"

#include <fmt/format.h>

#include "kernels/backend.h"
#include "kernels/core/philox.h"

namespace reformer {
namespace {

// Streams of random words, drawn under different keys: independent of each other.
constexpr uint32_t kTrainingStream = 0;
constexpr uint32_t kHeldOutStream = 1;
// Held-out sequences when evaluation.sequences asks for all of an endless supply.
constexpr int64_t kHeldOutSequences = 64;

}  // namespace

DuplicationDataset::DuplicationDataset(const config::Run& run)
    : length_(run.data().length()),
      symbols_(run.data().symbols()),
      seed_(run.training().seed()),
      validation_sequences_(run.evaluation().sequences() > 0 ? run.evaluation().sequences()
                                                             : kHeldOutSequences) {
  CHECK_EQ(length_ % 2, 0);
  CHECK_GE(length_, 4);
}

TokenBatch DuplicationDataset::training_batch(int64_t step, int64_t first_sample,
                                              int64_t samples) const {
  return make_batch(static_cast<uint64_t>(step), kTrainingStream, first_sample, samples);
}

TokenBatch DuplicationDataset::validation_batch(int64_t first, int64_t samples) const {
  CHECK(0 <= first && first + samples <= validation_sequences_);
  return make_batch(0, kHeldOutStream, first, samples);
}

std::string DuplicationDataset::description() const {
  return fmt::format("duplication task: 0w0w of {} tokens, w of {} symbols, {} held-out sequences",
                     length_, symbols_, validation_sequences_);
}

TokenBatch DuplicationDataset::make_batch(uint64_t step, uint32_t stream, int64_t first,
                                          int64_t samples) const {
  TokenBatch batch{.tokens = Tensor(DType::kInt32, {samples, length_}),
                   .labels = Tensor(DType::kInt32, {samples, length_}),
                   .valid_labels = samples * (length_ / 2 - 1)};
  const PhiloxKey key = make_key(seed_, RandomUse::kTask, step, stream);
  const int64_t half = length_ / 2;
  for (int64_t row = 0; row < samples; ++row) {
    const auto sample = static_cast<uint64_t>(first + row);
    int32_t* const tokens = batch.tokens.data<int32_t>() + row * length_;
    int32_t* const labels = batch.labels.data<int32_t>() + row * length_;
    for (int64_t i = 1; i < half; ++i) {
      const PhiloxBlock bits = philox(key, {static_cast<uint32_t>(i), static_cast<uint32_t>(sample),
                                            static_cast<uint32_t>(sample >> 32), 0});
      const uint64_t symbol =
          1 + bounded(uint64_t{bits[0]} << 32 | bits[1], static_cast<uint64_t>(symbols_));
      tokens[i] = tokens[half + i] = static_cast<int32_t>(symbol);
    }
    for (int64_t i = 0; i < length_; ++i) {
      const bool counts = i >= half && i + 1 < length_;
      labels[i] = counts ? tokens[i + 1] : kIgnoredLabel;
    }
  }
  return batch;
}

}  // namespace reformer
