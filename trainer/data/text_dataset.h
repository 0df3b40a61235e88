// A text as data: what a model is evaluated on besides the data that it was trained with.
#pragma once

#include <memory>
#include <string>

#include "trainer/data/dataset.h"
#include "trainer/data/tokenizer.h"

namespace reformer {

/// A whole file, all of it held out.
struct TextDataset {
  std::unique_ptr<Dataset> dataset;
  // Of all tokens but the first; 0 for records, whose tokens are bytes.
  int64_t predicted_bytes = 0;
};

/// The file `path` in sequences of data.length that start evaluation.stride apart, or its records,
/// of which evaluation.sequences are evaluated.
/// Throws DataError when it is missing, unreadable, empty or too short for one sequence, or has
/// something that no token stands for.
TextDataset make_text_dataset(const config::Run& run, const std::string& path,
                              const Tokenizer& tokenizer);

}  // namespace reformer
