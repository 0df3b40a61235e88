#include "trainer/data/record_dataset.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {

RecordDataset::RecordDataset(const config::Run& run, const std::string& held_out_file)
    : path_(held_out_file.empty() ? run.data().path() : held_out_file),
      file_(path_),
      tokenizer_(run.data().byte_offset()),
      length_(run.data().length()),
      seed_(run.training().seed()),
      split_(held_out_file.empty() ? split_of(run.data(), count_records(), "record", path_)
                                   : DataSplit{.train = {}, .validation = {0, count_records()}}) {
  if (held_out_file.empty()) require_records(split_.train, "training");
  require_records(split_.validation, "held-out");
  const int64_t wanted = run.evaluation().sequences();
  const int64_t held_out = split_.validation.size();
  selected_ = wanted == 0 ? held_out : std::min(wanted, held_out);
}

int64_t RecordDataset::count_records() const {
  const auto size = static_cast<int64_t>(file_.bytes().size());
  if (size % length_ != 0) {
    throw DataError(
        fmt::format("{}: its {} bytes are no multiple of a record's data.length = {}: {} records "
                    "and {} bytes",
                    path_, size, length_, size / length_, size % length_));
  }
  return size / length_;
}

void RecordDataset::require_records(const DataRange& range, const char* part) const {
  if (range.size() > 0) return;
  throw DataError(fmt::format("{}: the {} part has none of the file's {} records", path_, part,
                              count_records()));
}

TokenBatch RecordDataset::training_batch(int64_t step, int64_t first_sample,
                                         int64_t samples) const {
  TokenBatch batch = make_batch(samples, length_);
  for (int64_t row = 0; row < samples; ++row) {
    const int64_t record = draw_sample(seed_, step, first_sample + row, split_.train.size());
    fill_row(split_.train.begin + record, row, batch);
  }
  return batch;
}

TokenBatch RecordDataset::validation_batch(int64_t first, int64_t samples) const {
  CHECK(0 <= first && first + samples <= selected_);
  TokenBatch batch = make_batch(samples, length_);
  for (int64_t row = 0; row < samples; ++row) {
    const int64_t record = (first + row) * split_.validation.size() / selected_;
    fill_row(split_.validation.begin + record, row, batch);
  }
  return batch;
}

std::string RecordDataset::description() const {
  return fmt::format("records of {} bytes of {}: {}, of which {} are evaluated", length_, path_,
                     describe(split_), selected_);
}

void RecordDataset::fill_row(int64_t record, int64_t row, TokenBatch& batch) const {
  const uint8_t* const bytes = file_.bytes().data() + record * length_;
  int32_t* const tokens = batch.tokens.data<int32_t>() + row * length_;
  int32_t* const labels = batch.labels.data<int32_t>() + row * length_;
  tokens[0] = kRecordStart;
  for (int64_t i = 0; i < length_; ++i) {
    labels[i] = tokenizer_.token_of(bytes[i]);
    if (i + 1 < length_) tokens[i + 1] = labels[i];
  }
  batch.valid_labels += length_;
}

}  // namespace reformer
