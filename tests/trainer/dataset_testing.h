// Rows of batches, and what every dataset promises of them.
#pragma once

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "trainer/data/dataset.h"

namespace reformer::testing {

using Row = std::vector<int32_t>;

inline Row row_of(const Tensor& tensor, int64_t row) {
  const int64_t length = tensor.shape()[1];
  const int32_t* const begin = tensor.data<int32_t>() + row * length;
  return {begin, begin + length};
}

inline int64_t count_valid(const TokenBatch& batch) {
  const int32_t* const labels = batch.labels.data<int32_t>();
  return batch.labels.elements() -
         std::count(labels, labels + batch.labels.elements(), kIgnoredLabel);
}

/// Rows [first, first + rows.size()) of `expected` are the rows of `part`.
inline void expect_rows(const TokenBatch& part, const TokenBatch& expected, int64_t first) {
  for (int64_t row = 0; row < part.tokens.shape()[0]; ++row) {
    EXPECT_EQ(row_of(part.tokens, row), row_of(expected.tokens, first + row));
    EXPECT_EQ(row_of(part.labels, row), row_of(expected.labels, first + row));
  }
}

/// Samples 0 … 11 of a step, read in groups of several sizes.
inline void expect_same_in_any_grouping(const Dataset& dataset) {
  const TokenBatch all = dataset.training_batch(5, 0, 12);
  for (int64_t group : {1, 3, 4}) {
    int64_t valid = 0;
    for (int64_t first = 12 - group; first >= 0; first -= group) {
      const TokenBatch part = dataset.training_batch(5, first, group);
      expect_rows(part, all, first);
      EXPECT_EQ(part.valid_labels, count_valid(part));
      valid += part.valid_labels;
    }
    EXPECT_EQ(valid, all.valid_labels);
  }
}

/// Rows that differ among samples, steps and seeds.
template <typename MakeDataset>
void expect_distinct_streams(const MakeDataset& make) {
  std::set<Row> rows;
  for (uint64_t seed : {1u, 2u}) {
    const std::unique_ptr<Dataset> dataset = make(seed);
    for (int64_t step : {1, 2, 3}) {
      const TokenBatch batch = dataset->training_batch(step, 0, 5);
      for (int64_t row = 0; row < 5; ++row) rows.insert(row_of(batch.tokens, row));
    }
  }
  EXPECT_EQ(rows.size(), size_t{2 * 3 * 5});
}

}  // namespace reformer::testing
