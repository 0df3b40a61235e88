// Sequences out of one long stream of tokens.
#pragma once

#include <memory>
#include <optional>

#include "trainer/data/dataset.h"
#include "trainer/data/split.h"
#include "trainer/data/token_stream.h"

namespace reformer {

/// Training sequences start anywhere in the training part. Held-out sequences are windows of the
/// held-out part that start evaluation.stride tokens apart. A label counts in the first window that
/// has it, so every token but the first of all is predicted once, if all windows are evaluated;
/// otherwise the first window counts no more than the others. The last window is filled up with
/// ignored labels.
class StreamDataset final : public Dataset {
 public:
  /// In the parts that `run` asks for; or those of `split`, of which the one for training may be
  /// empty if nothing is to be trained. Throws DataError when a part is too short for one sequence.
  StreamDataset(const config::Run& run, std::unique_ptr<TokenStream> stream,
                const std::optional<DataSplit>& split = {});

  int64_t validation_sequences() const override { return selected_windows_; }
  std::string description() const override;

 private:
  void fill_training(int64_t step, int64_t sample, const DataRange& positions,
                     const TokenRow& row) const override;
  void fill_validation(int64_t sequence, const DataRange& positions,
                       const TokenRow& row) const override;
  bool counts_whole(int64_t window) const { return window == 0 && selected_windows_ == windows_; }
  void require_sequence(const DataRange& range, const char* part) const;
  /// Fills the row with the tokens from `begin` on, as far as `end` allows; the first `ignored`
  /// labels do not count.
  void fill_row(int64_t begin, int64_t end, int64_t ignored, const TokenRow& row) const;

  std::unique_ptr<TokenStream> stream_;
  const char* unit_;  // what a token is
  int64_t stride_;
  uint64_t seed_;
  DataSplit split_;
  int64_t windows_ = 0;           // windows in the held-out part
  int64_t selected_windows_ = 0;  // of them, spread evenly, are evaluated
};

}  // namespace reformer
