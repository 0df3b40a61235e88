#include "trainer/data/record_dataset.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {

RecordDataset::RecordDataset(const config::Run& run, const std::string& held_out_file)
    : Dataset(run.data().length()),
      path_(held_out_file.empty() ? run.data().path() : held_out_file),
      file_(path_),
      tokenizer_(run.data().byte_offset()),
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
  if (size % length() != 0) {
    throw DataError(
        fmt::format("{}: its {} bytes are no multiple of a record's data.length = {}: {} records "
                    "and {} bytes",
                    path_, size, length(), size / length(), size % length()));
  }
  return size / length();
}

void RecordDataset::require_records(const DataRange& range, const char* part) const {
  if (range.size() > 0) return;
  throw DataError(fmt::format("{}: the {} part has none of the file's {} records", path_, part,
                              count_records()));
}

void RecordDataset::fill_training(int64_t step, int64_t sample, const DataRange& positions,
                                  const TokenRow& row) const {
  const int64_t record = draw_sample(seed_, step, sample, split_.train.size());
  fill_row(split_.train.begin + record, positions, row);
}

void RecordDataset::fill_validation(int64_t sequence, const DataRange& positions,
                                    const TokenRow& row) const {
  const int64_t record = sequence * split_.validation.size() / selected_;
  fill_row(split_.validation.begin + record, positions, row);
}

std::string RecordDataset::description() const {
  return fmt::format("records of {} bytes of {}: {}, of which {} are evaluated", length(), path_,
                     describe(split_), selected_);
}

void RecordDataset::fill_row(int64_t record, const DataRange& positions,
                             const TokenRow& row) const {
  const uint8_t* const bytes = file_.bytes().data() + record * length();
  for (size_t i = 0; i < row.tokens.size(); ++i) {
    const int64_t position = positions.begin + static_cast<int64_t>(i);
    row.tokens[i] = position == 0 ? kRecordStart : tokenizer_.token_of(bytes[position - 1]);
    row.labels[i] = tokenizer_.token_of(bytes[position]);
  }
}

}  // namespace reformer
