// Naive twins, in double precision, of the gemm ops of backend.h.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace reformer::reference {

/// Row-major [rows, columns].
struct Matrix {
  Matrix(size_t row_count, size_t column_count)
      : Matrix(row_count, column_count, std::vector<double>(row_count * column_count)) {}
  Matrix(size_t row_count, size_t column_count, std::vector<double> elements)
      : rows(row_count), columns(column_count), values(std::move(elements)) {}

  double& at(size_t row, size_t column) { return values[row * columns + column]; }
  double at(size_t row, size_t column) const { return values[row * columns + column]; }

  size_t rows;
  size_t columns;
  std::vector<double> values;
};

/// x·weight + bias. An empty bias counts as 0.
inline Matrix linear(const Matrix& x, const Matrix& weight, const std::vector<double>& bias) {
  Matrix y(x.rows, weight.columns);
  for (size_t row = 0; row < y.rows; ++row) {
    for (size_t j = 0; j < y.columns; ++j) {
      y.at(row, j) = bias.empty() ? 0 : bias[j];
      for (size_t i = 0; i < x.columns; ++i) y.at(row, j) += x.at(row, i) * weight.at(i, j);
    }
  }
  return y;
}

/// dy·weightᵀ
inline Matrix linear_backward_input(const Matrix& dy, const Matrix& weight) {
  Matrix dx(dy.rows, weight.rows);
  for (size_t row = 0; row < dx.rows; ++row) {
    for (size_t i = 0; i < dx.columns; ++i) {
      for (size_t j = 0; j < dy.columns; ++j) dx.at(row, i) += dy.at(row, j) * weight.at(i, j);
    }
  }
  return dx;
}

/// xᵀ·dy
inline Matrix linear_backward_weight(const Matrix& x, const Matrix& dy) {
  Matrix dweight(x.columns, dy.columns);
  for (size_t row = 0; row < x.rows; ++row) {
    for (size_t i = 0; i < x.columns; ++i) {
      for (size_t j = 0; j < dy.columns; ++j) dweight.at(i, j) += x.at(row, i) * dy.at(row, j);
    }
  }
  return dweight;
}

/// Σ dy over the rows.
inline std::vector<double> linear_backward_bias(const Matrix& dy) {
  std::vector<double> dbias(dy.columns);
  for (size_t row = 0; row < dy.rows; ++row) {
    for (size_t j = 0; j < dy.columns; ++j) dbias[j] += dy.at(row, j);
  }
  return dbias;
}

}  // namespace reformer::reference
