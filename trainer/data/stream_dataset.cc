#include "trainer/data/stream_dataset.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "kernels/backend.h"
#include "kernels/core/errors.h"

namespace reformer {

StreamDataset::StreamDataset(const config::Run& run, std::unique_ptr<TokenStream> stream,
                             const std::optional<DataSplit>& split)
    : stream_(std::move(stream)),
      unit_(token_name(run.data())),
      length_(run.data().length()),
      stride_(run.evaluation().stride() == 0 ? length_ : run.evaluation().stride()),
      seed_(run.training().seed()),
      split_(split ? *split : split_of(run.data(), stream_->size(), unit_, stream_->path())) {
  if (!split) require_sequence(split_.train, "training");
  require_sequence(split_.validation, "held-out");

  // Tokens to predict after those of the first window.
  const int64_t rest = split_.validation.size() - 1 - length_;
  windows_ = 1 + (std::max<int64_t>(0, rest) + stride_ - 1) / stride_;
  const int64_t wanted = run.evaluation().sequences();
  selected_windows_ = wanted == 0 ? windows_ : std::min(wanted, windows_);
}

TokenBatch StreamDataset::training_batch(int64_t step, int64_t first_sample,
                                         int64_t samples) const {
  TokenBatch batch = make_batch(samples, length_);
  for (int64_t row = 0; row < samples; ++row) {
    const int64_t start =
        draw_sample(seed_, step, first_sample + row, split_.train.size() - length_);
    fill_row(split_.train.begin + start, split_.train.end, 0, row, batch);
  }
  return batch;
}

TokenBatch StreamDataset::validation_batch(int64_t first, int64_t samples) const {
  CHECK(0 <= first && first + samples <= selected_windows_);
  TokenBatch batch = make_batch(samples, length_);
  for (int64_t row = 0; row < samples; ++row) {
    const int64_t window = (first + row) * windows_ / selected_windows_;
    fill_row(split_.validation.begin + window * stride_, split_.validation.end,
             counts_whole(window) ? 0 : length_ - stride_, row, batch);
  }
  return batch;
}

std::string StreamDataset::description() const {
  const std::string overlap =
      stride_ == length_ ? "" : fmt::format(", {} {}s apart,", stride_, unit_);
  return fmt::format("{0}s of {1}: {2}, of which {3} of {4} sequences of {5} {0}s{6} are evaluated",
                     unit_, stream_->path(), describe(split_), selected_windows_, windows_, length_,
                     overlap);
}

void StreamDataset::require_sequence(const DataRange& range, const char* part) const {
  if (range.size() > length_) return;
  throw DataError(fmt::format(
      "{}: too short: the {} part has {} of the file's {} {}s, and one sequence of "
      "data.length = {} takes {}",
      stream_->path(), part, range.size(), stream_->size(), unit_, length_, length_ + 1));
}

void StreamDataset::fill_row(int64_t begin, int64_t end, int64_t ignored, int64_t row,
                             TokenBatch& batch) const {
  std::vector<int32_t> window(static_cast<size_t>(std::min(length_ + 1, end - begin)));
  stream_->read(begin, window);
  int32_t* const tokens = batch.tokens.data<int32_t>() + row * length_;
  int32_t* const labels = batch.labels.data<int32_t>() + row * length_;
  for (size_t i = 0; i < static_cast<size_t>(length_); ++i) {
    const bool labelled = i >= static_cast<size_t>(ignored) && i + 1 < window.size();
    tokens[i] = i < window.size() ? window[i] : 0;
    labels[i] = labelled ? window[i + 1] : kIgnoredLabel;
    batch.valid_labels += labelled;
  }
}

}  // namespace reformer
