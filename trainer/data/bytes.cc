#include "trainer/data/bytes.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernels/backend.h"
#include "kernels/core/errors.h"
#include "kernels/core/philox.h"

namespace reformer {

ByteDataset::ByteDataset(const config::Run& run)
    : path_(run.data().path()),
      file_(path_),
      tokenizer_(run.data().byte_offset()),
      length_(run.data().length()),
      seed_(run.training().seed()) {
  const config::Data& data = run.data();
  const auto size = static_cast<int64_t>(file_.bytes().size());
  if (data.has_train()) {
    train_ = resolve(data.train(), "data.train");
    validation_ = resolve(data.validation(), "data.validation");
  } else {
    const auto held_out = static_cast<int64_t>(static_cast<double>(size) * data.validation_share());
    train_ = {0, size - held_out};
    validation_ = {size - held_out, size};
  }
  require_sequence(train_, "training");
  require_sequence(validation_, "held-out");

  // A window needs one byte to predict.
  windows_ = (validation_.size() - 1 + length_ - 1) / length_;
  const int64_t wanted = run.evaluation().sequences();
  selected_windows_ = wanted == 0 ? windows_ : std::min(wanted, windows_);
}

TokenBatch ByteDataset::training_batch(int64_t step, int64_t first_sample, int64_t samples) const {
  TokenBatch batch{.tokens = Tensor(DType::kInt32, {samples, length_}),
                   .labels = Tensor(DType::kInt32, {samples, length_}),
                   .valid_labels = 0};
  const PhiloxKey key = make_key(seed_, RandomUse::kSampling, static_cast<uint64_t>(step), 0);
  const auto starts = static_cast<uint64_t>(train_.size() - length_);
  for (int64_t row = 0; row < samples; ++row) {
    const auto sample = static_cast<uint64_t>(first_sample + row);
    const PhiloxBlock bits =
        philox(key, {static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32), 0, 0});
    const uint64_t start = bounded(uint64_t{bits[0]} << 32 | bits[1], starts);
    fill_row(train_.begin + static_cast<int64_t>(start), train_.end, row, batch);
  }
  return batch;
}

TokenBatch ByteDataset::validation_batch(int64_t first, int64_t samples) const {
  CHECK(0 <= first && first + samples <= selected_windows_);
  TokenBatch batch{.tokens = Tensor(DType::kInt32, {samples, length_}),
                   .labels = Tensor(DType::kInt32, {samples, length_}),
                   .valid_labels = 0};
  for (int64_t row = 0; row < samples; ++row) {
    const int64_t window = (first + row) * windows_ / selected_windows_;
    fill_row(validation_.begin + window * length_, validation_.end, row, batch);
  }
  return batch;
}

std::string ByteDataset::description() const {
  return fmt::format(
      "bytes of {}: training [{}, {}), held-out [{}, {}), of which {} of {} sequences of {} bytes "
      "are evaluated",
      path_, train_.begin, train_.end, validation_.begin, validation_.end, selected_windows_,
      windows_, length_);
}

ByteDataset::Range ByteDataset::resolve(const config::ByteRange& range, const char* field) const {
  const auto size = static_cast<int64_t>(file_.bytes().size());
  const Range resolved{range.begin(), range.end() == 0 ? size : range.end()};
  if (resolved.end > size || resolved.begin >= resolved.end) {
    throw DataError(fmt::format("{}: {} = [{}, {}) does not lie in the {} bytes of the file", path_,
                                field, resolved.begin, resolved.end, size));
  }
  return resolved;
}

void ByteDataset::require_sequence(const Range& range, const char* part) const {
  if (range.size() > length_) return;
  throw DataError(
      fmt::format("{}: too short: the {} part has {} of the file's {} bytes, and one sequence of "
                  "data.length = {} takes {}",
                  path_, part, range.size(), file_.bytes().size(), length_, length_ + 1));
}

void ByteDataset::fill_row(int64_t begin, int64_t end, int64_t row, TokenBatch& batch) const {
  const uint8_t* const bytes = file_.bytes().data();
  int32_t* const tokens = batch.tokens.data<int32_t>() + row * length_;
  int32_t* const labels = batch.labels.data<int32_t>() + row * length_;
  for (int64_t i = 0; i < length_; ++i) {
    const int64_t at = begin + i;
    const bool labelled = at + 1 < end;
    tokens[i] = at < end ? tokenizer_.token_of(bytes[at]) : 0;
    labels[i] = labelled ? tokenizer_.token_of(bytes[at + 1]) : kIgnoredLabel;
    batch.valid_labels += labelled;
  }
}

}  // namespace reformer
