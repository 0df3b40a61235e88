// The bytes of a file as tokens: any file, no tokenizer.
#pragma once

#include "trainer/data/byte_tokenizer.h"
#include "trainer/data/dataset.h"
#include "trainer/data/mapped_file.h"

namespace reformer {

/// Training sequences start anywhere in the training part. Held-out sequences are consecutive
/// windows of the held-out part that overlap by the one byte that is a label in the first and a
/// token in the second: every byte but the first is predicted once. The last window is filled up
/// with ignored labels.
class ByteDataset final : public Dataset {
 public:
  explicit ByteDataset(const config::Run& run);

  TokenBatch training_batch(int64_t step, int64_t first_sample, int64_t samples) const override;
  int64_t validation_sequences() const override { return selected_windows_; }
  TokenBatch validation_batch(int64_t first, int64_t samples) const override;
  std::string description() const override;

 private:
  struct Range {
    int64_t begin = 0;
    int64_t end = 0;
    int64_t size() const { return end - begin; }
  };
  Range resolve(const config::ByteRange& range, const char* field) const;
  void require_sequence(const Range& range, const char* part) const;
  /// Fills row `row` with the window at `begin`, as far as `end` allows.
  void fill_row(int64_t begin, int64_t end, int64_t row, TokenBatch& batch) const;

  std::string path_;
  MappedFile file_;
  ByteTokenizer tokenizer_;
  int64_t length_;
  uint64_t seed_;
  Range train_;
  Range validation_;
  int64_t windows_ = 0;           // windows in the held-out part
  int64_t selected_windows_ = 0;  // of them, spread evenly, are evaluated
};

}  // namespace reformer
