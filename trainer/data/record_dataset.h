// Records of one length, one after the other in a file, each a sequence of its own: images, for
// example.
#pragma once

#include "trainer/data/dataset.h"
#include "trainer/data/mapped_file.h"
#include "trainer/data/record_tokenizer.h"
#include "trainer/data/split.h"

namespace reformer {

/// A record has data.length bytes. Its sequence is kRecordStart and all of its bytes but the last,
/// and every byte is a label: the likelihood is that of the whole record. Training records are
/// drawn at random; held-out ones are spread evenly over their part.
class RecordDataset final : public Dataset {
 public:
  /// Throws DataError as MappedFile does, and when the file holds no whole number of records, or no
  /// record in either part.
  /// With `held_out_file` the records of that file, all of them held out.
  explicit RecordDataset(const config::Run& run, const std::string& held_out_file = "");

  int64_t validation_sequences() const override { return selected_; }
  std::string description() const override;

 private:
  void fill_training(int64_t step, int64_t sample, const DataRange& positions,
                     const TokenRow& row) const override;
  void fill_validation(int64_t sequence, const DataRange& positions,
                       const TokenRow& row) const override;
  int64_t count_records() const;
  void require_records(const DataRange& range, const char* part) const;
  void fill_row(int64_t record, const DataRange& positions, const TokenRow& row) const;

  std::string path_;
  MappedFile file_;
  ByteTokenizer tokenizer_;
  uint64_t seed_;
  DataSplit split_;       // in records
  int64_t selected_ = 0;  // held-out records that are evaluated
};

}  // namespace reformer
