#include "trainer/data/stream_dataset.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {

StreamDataset::StreamDataset(const config::Run& run, std::unique_ptr<TokenStream> stream,
                             const std::optional<DataSplit>& split)
    : Dataset(run.data().length()),
      stream_(std::move(stream)),
      unit_(token_name(run.data())),
      stride_(run.evaluation().stride() == 0 ? length() : run.evaluation().stride()),
      seed_(run.training().seed()),
      split_(split ? *split : split_of(run.data(), stream_->size(), unit_, stream_->path())) {
  if (!split) require_sequence(split_.train, "training");
  require_sequence(split_.validation, "held-out");

  // Tokens to predict after those of the first window.
  const int64_t rest = split_.validation.size() - 1 - length();
  windows_ = 1 + (std::max<int64_t>(0, rest) + stride_ - 1) / stride_;
  const int64_t wanted = run.evaluation().sequences();
  selected_windows_ = wanted == 0 ? windows_ : std::min(wanted, windows_);
}

void StreamDataset::fill_training(int64_t step, int64_t sample, const DataRange& positions,
                                  const TokenRow& row) const {
  const int64_t start = draw_sample(seed_, step, sample, split_.train.size() - length());
  fill_row(split_.train.begin + start + positions.begin, split_.train.end, 0, row);
}

void StreamDataset::fill_validation(int64_t sequence, const DataRange& positions,
                                    const TokenRow& row) const {
  const int64_t window = sequence * windows_ / selected_windows_;
  const int64_t ignored = counts_whole(window) ? 0 : length() - stride_;
  fill_row(split_.validation.begin + window * stride_ + positions.begin, split_.validation.end,
           ignored - positions.begin, row);
}

std::string StreamDataset::description() const {
  const std::string overlap =
      stride_ == length() ? "" : fmt::format(", {} {}s apart,", stride_, unit_);
  return fmt::format("{0}s of {1}: {2}, of which {3} of {4} sequences of {5} {0}s{6} are evaluated",
                     unit_, stream_->path(), describe(split_), selected_windows_, windows_,
                     length(), overlap);
}

void StreamDataset::require_sequence(const DataRange& range, const char* part) const {
  if (range.size() > length()) return;
  throw DataError(fmt::format(
      "{}: too short: the {} part has {} of the file's {} {}s, and one sequence of "
      "data.length = {} takes {}",
      stream_->path(), part, range.size(), stream_->size(), unit_, length(), length() + 1));
}

void StreamDataset::fill_row(int64_t begin, int64_t end, int64_t ignored,
                             const TokenRow& row) const {
  const auto wanted = static_cast<int64_t>(row.tokens.size()) + 1;
  std::vector<int32_t> window(static_cast<size_t>(std::clamp<int64_t>(end - begin, 0, wanted)));
  if (!window.empty()) stream_->read(begin, window);
  for (size_t i = 0; i < row.tokens.size(); ++i) {
    row.tokens[i] = i < window.size() ? window[i] : 0;
    const bool counts = static_cast<int64_t>(i) >= ignored && i + 1 < window.size();
    if (counts) row.labels[i] = window[i + 1];
  }
}

}  // namespace reformer
