// The retrieval task: a needle in a haystack. Pairs of a key and a value, then a long filler, then
// questions: a key, after which the model must say its value. With 9 symbols, 2 pairs, values of 2
// tokens and 1 question:
//
//   tokens   3 10 17   8 12 12   25 19 21 20 …   0 8 12 12
//            key value key value filler          ? key value
//   counts                                            *  *
#pragma once

#include "trainer/data/task.h"

namespace reformer {

/// Keys are 1 … S, symbols of values S + 1 … 2S, of the filler 2S + 1 … 3S, S = data.symbols; 0
/// begins a question. The keys of a sequence differ, and so do those asked. Only the values in the
/// answers count. The filler takes what data.length leaves.
class RetrievalDataset final : public TaskDataset {
 public:
  /// REQUIRES: data.queries <= data.pairs <= data.symbols, and data.length holds pairs and
  /// questions.
  explicit RetrievalDataset(const config::Run& run);

  /// Least data.length: pairs and questions without filler.
  static int64_t shortest(const config::Data& data);
  /// Tokens are in [0, vocabulary).
  static int64_t vocabulary(const config::Data& data) { return 3 * data.symbols() + 1; }

  std::string description() const override;

 private:
  void make_sequence(const TaskRandom& random, std::span<int32_t> tokens,
                     std::span<uint8_t> predictable) const override;

  int64_t symbols_;
  int64_t pairs_;
  int64_t value_length_;
  int64_t queries_;
};

}  // namespace reformer
