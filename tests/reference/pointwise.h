// Naive twins, in double precision, of the pointwise ops of backend.h. Activations are dense
// row-major [rows, width].
#pragma once

#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/backend.h"

namespace reformer::reference {

/// The width is that of `gamma`.
inline std::vector<double> layer_norm(const std::vector<double>& x,
                                      const std::vector<double>& gamma,
                                      const std::vector<double>& beta, double epsilon) {
  const size_t width = gamma.size();
  std::vector<double> y(x.size());
  for (size_t row = 0; row < x.size(); row += width) {
    double mean = 0;
    for (size_t c = 0; c < width; ++c) mean += x[row + c] / static_cast<double>(width);
    double variance = 0;
    for (size_t c = 0; c < width; ++c) {
      variance += (x[row + c] - mean) * (x[row + c] - mean) / static_cast<double>(width);
    }
    for (size_t c = 0; c < width; ++c) {
      y[row + c] = (x[row + c] - mean) / std::sqrt(variance + epsilon) * gamma[c] + beta[c];
    }
  }
  return y;
}

inline double activation(Activation activation, double x) {
  if (activation == Activation::kRelu) return x > 0 ? x : 0;
  return x * 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

inline std::vector<double> activation(Activation kind, const std::vector<double>& x) {
  std::vector<double> y;
  for (double value : x) y.push_back(activation(kind, value));
  return y;
}

/// What dropout multiplies each element of a [rows, width] activation with.
inline std::vector<double> dropout_factors(const TokenLayout& layout, const Dropout& dropout,
                                           int64_t width) {
  std::vector<double> factors;
  for (int64_t sample = 0; sample < layout.samples; ++sample) {
    for (int64_t token = 0; token < layout.length; ++token) {
      for (int64_t column = 0; column < width; ++column) {
        const PhiloxBlock block =
            philox(dropout.key, {static_cast<uint32_t>(column / 4),
                                 static_cast<uint32_t>(layout.first_position + token),
                                 static_cast<uint32_t>(layout.first_sample + sample), 0});
        const double word = block[static_cast<size_t>(column % 4)];
        const double rate = static_cast<double>(dropout.rate);
        factors.push_back(word >= std::floor(rate * 0x1p32) ? 1 / (1 - rate) : 0);
      }
    }
  }
  return factors;
}

inline std::vector<double> product(std::vector<double> a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] *= b[i];
  return a;
}

}  // namespace reformer::reference
