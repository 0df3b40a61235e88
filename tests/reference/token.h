// Naive twins, in double precision, of the token ops of backend.h.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/backend.h"

namespace reformer::reference {

/// Rows of `width` numbers each.
struct Table {
  int64_t width = 1;
  std::vector<double> values;

  int64_t rows() const { return static_cast<int64_t>(values.size()) / width; }
  double at(int64_t row, int64_t column) const {
    return values[static_cast<size_t>(row * width + column)];
  }
};

/// tables[0] holds the tokens, the others the axes of the positions.
inline std::vector<double> embed(const TokenLayout& layout, const std::vector<int32_t>& tokens,
                                 const std::vector<Table>& tables) {
  std::vector<double> y;
  for (int64_t row = 0; row < layout.rows(); ++row) {
    std::vector<double> offset;
    int64_t position = layout.first_position + row % layout.length;
    for (size_t axis = tables.size() - 1; axis >= 1; --axis) {  // the last axis is the fastest
      const Table& table = tables[axis];
      std::vector<double> part;
      for (int64_t c = 0; c < table.width; ++c) {
        part.push_back(table.at(position % table.rows(), c));
      }
      offset.insert(offset.begin(), part.begin(), part.end());
      position /= table.rows();
    }
    offset.resize(static_cast<size_t>(tables[0].width));
    for (int64_t c = 0; c < tables[0].width; ++c) {
      y.push_back(tables[0].at(tokens[static_cast<size_t>(row)], c) +
                  offset[static_cast<size_t>(c)]);
    }
  }
  return y;
}

struct CrossEntropy {
  double loss = 0;  // Σ over the rows that are not ignored, in nats
  int64_t correct = 0;
};

inline CrossEntropy cross_entropy(const std::vector<double>& logits,
                                  const std::vector<int32_t>& labels) {
  const size_t vocabulary = labels.empty() ? 1 : logits.size() / labels.size();
  CrossEntropy result;
  for (size_t row = 0; row < labels.size(); ++row) {
    if (labels[row] == kIgnoredLabel) continue;
    const double* x = logits.data() + row * vocabulary;
    const auto label = static_cast<size_t>(labels[row]);
    size_t largest = 0;
    for (size_t c = 0; c < vocabulary; ++c) {
      if (x[c] > x[largest]) largest = c;
    }
    double sum = 0;
    for (size_t c = 0; c < vocabulary; ++c) sum += std::exp(x[c] - x[largest]);
    result.loss += std::log(sum) + x[largest] - x[label];
    result.correct += largest == label ? 1 : 0;
  }
  return result;
}

}  // namespace reformer::reference
