// Optimizer updates in double precision, from the formulas of the papers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace reformer::reference {

using Doubles = std::vector<double>;

struct AdamWSettings {
  double rate, beta1, beta2, epsilon, weight_decay;
};

/// Loshchilov and Hutter, algorithm 2, with the decay multiplied by the rate.
inline void adamw(const AdamWSettings& s, int64_t step, const Doubles& gradient, Doubles& parameter,
                  Doubles& m, Doubles& v) {
  for (size_t i = 0; i < parameter.size(); ++i) {
    m[i] = s.beta1 * m[i] + (1 - s.beta1) * gradient[i];
    v[i] = s.beta2 * v[i] + (1 - s.beta2) * gradient[i] * gradient[i];
    const double m_hat = m[i] / (1 - std::pow(s.beta1, static_cast<double>(step)));
    const double v_hat = v[i] / (1 - std::pow(s.beta2, static_cast<double>(step)));
    parameter[i] -=
        s.rate * (m_hat / (std::sqrt(v_hat) + s.epsilon) + s.weight_decay * parameter[i]);
  }
}

struct AdafactorSettings {
  double rate, epsilon1, epsilon2, clip, weight_decay;
};

inline double root_mean_square(const Doubles& x) {
  double sum = 0;
  for (double value : x) sum += value * value;
  return std::sqrt(sum / static_cast<double>(x.size()));
}

/// Shazeer and Stern, algorithms 4 (matrices) and 5 (vectors), with sums over rows and columns
/// written as means. `rows` = 0: a vector, whose second moments are `column`.
inline void adafactor(const AdafactorSettings& s, int64_t step, size_t rows,
                      const Doubles& gradient, Doubles& parameter, Doubles& row, Doubles& column) {
  const double decay = 1 - std::pow(static_cast<double>(step), -0.8);
  const size_t columns = column.size();
  const auto square = [&](size_t i) { return gradient[i] * gradient[i] + s.epsilon1; };
  Doubles second(parameter.size());
  if (rows == 0) {
    for (size_t i = 0; i < columns; ++i) {
      second[i] = column[i] = decay * column[i] + (1 - decay) * square(i);
    }
  } else {
    for (size_t i = 0; i < rows; ++i) {
      double mean = 0;
      for (size_t j = 0; j < columns; ++j) mean += square(i * columns + j);
      row[i] = decay * row[i] + (1 - decay) * mean / static_cast<double>(columns);
    }
    for (size_t j = 0; j < columns; ++j) {
      double mean = 0;
      for (size_t i = 0; i < rows; ++i) mean += square(i * columns + j);
      column[j] = decay * column[j] + (1 - decay) * mean / static_cast<double>(rows);
    }
    double row_mean = 0;
    for (double value : row) row_mean += value / static_cast<double>(rows);
    for (size_t i = 0; i < second.size(); ++i) {
      second[i] = row[i / columns] * column[i % columns] / row_mean;
    }
  }
  Doubles update(parameter.size());
  for (size_t i = 0; i < update.size(); ++i) update[i] = gradient[i] / std::sqrt(second[i]);
  const double clipped = std::max(1.0, root_mean_square(update) / s.clip);
  const double size = std::max(s.epsilon2, root_mean_square(parameter));
  for (size_t i = 0; i < update.size(); ++i) {
    parameter[i] -= s.rate * size * update[i] / clipped + s.rate * s.weight_decay * parameter[i];
  }
}

}  // namespace reformer::reference
