// What every kernel test needs: seeded tensors, comparison with a double-precision reference, and
// finite differences of that reference.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "kernels/core/fixed_point.h"
#include "kernels/core/view.h"

namespace reformer::testing {

using Doubles = std::vector<double>;

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  /// Uniform integer in [low, high].
  int64_t integer(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  template <typename T>
  void shuffle(std::vector<T>& values) {
    std::shuffle(values.begin(), values.end(), engine_);
  }
  bool chance(double probability) { return std::bernoulli_distribution(probability)(engine_); }

  /// Float32 tensor of independent normal numbers.
  Tensor normal(const Shape& shape, float deviation = 1.0f) {
    Tensor tensor(DType::kFloat32, shape);
    std::normal_distribution<float> distribution(0.0f, deviation);
    std::generate_n(tensor.data<float>(), tensor.elements(), [&] { return distribution(engine_); });
    return tensor;
  }

  /// Int32 tensor of uniform integers in [low, high].
  Tensor integers(const Shape& shape, int32_t low, int32_t high) {
    Tensor tensor(DType::kInt32, shape);
    std::uniform_int_distribution<int32_t> distribution(low, high);
    std::generate_n(tensor.data<int32_t>(), tensor.elements(),
                    [&] { return distribution(engine_); });
    return tensor;
  }

 private:
  std::mt19937_64 engine_;
};

/// Elements as doubles; Fixed32 and Int64 (a sum in units of 2^-44) in their real-number meaning.
inline Doubles to_doubles(const View& view) {
  Doubles values(static_cast<size_t>(view.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    switch (view.dtype()) {
      case DType::kFloat32:
        values[i] = static_cast<double>(view.data<float>()[i]);
        break;
      case DType::kFloat64:
        values[i] = view.data<double>()[i];
        break;
      case DType::kFixed32:
        values[i] = static_cast<double>(stream_to_float(view.data<uint32_t>()[i]));
        break;
      case DType::kInt64:
        values[i] = static_cast<double>(view.data<int64_t>()[i]) * kSumStep;
        break;
      case DType::kInt32:
        values[i] = static_cast<double>(view.data<int32_t>()[i]);
        break;
      case DType::kUint8:
        values[i] = static_cast<double>(view.data<uint8_t>()[i]);
        break;
      case DType::kBFloat16:
        values[i] = static_cast<double>(to_float(view.data<BFloat16>()[i]));
        break;
    }
  }
  return values;
}
inline Doubles to_doubles(const Tensor& tensor) {
  return to_doubles(tensor.view());
}

/// Largest |actual − expected|, relative to the largest |expected| (at least `floor`).
inline double relative_error(const Doubles& actual, const Doubles& expected, double floor = 1e-6) {
  EXPECT_EQ(actual.size(), expected.size());
  double error = 0;
  double size = floor;
  for (size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    if (!std::isfinite(actual[i])) return std::numeric_limits<double>::infinity();
    error = std::max(error, std::abs(actual[i] - expected[i]));
    size = std::max(size, std::abs(expected[i]));
  }
  return error / size;
}

/// Central differences of `loss` by every element of `at`, in double precision.
inline Doubles finite_differences(const std::function<double(const Doubles&)>& loss,
                                  const Doubles& at, double step = 1e-5) {
  Doubles gradient(at.size());
  Doubles point = at;
  for (size_t i = 0; i < at.size(); ++i) {
    point[i] = at[i] + step;
    const double above = loss(point);
    point[i] = at[i] - step;
    const double below = loss(point);
    point[i] = at[i];
    gradient[i] = (above - below) / (2 * step);
  }
  return gradient;
}

/// Σ weights_i · values_i: makes a scalar loss of an op's output, with gradient `weights`.
inline double weighted_sum(const Doubles& values, const Doubles& weights) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) sum += values[i] * weights[i];
  return sum;
}

inline bool same_bits(const View& a, const View& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

/// An exact gradient sum with a generous limit and its own fault counters.
class TestGradientSum {
 public:
  GradientSum sum() const { return {.limit = 0x1p50, .faults = faults_.view()}; }
  int64_t faults(FaultKind kind) const { return faults_.data<int64_t>()[kind]; }

 private:
  Tensor faults_{DType::kInt64, {kFaultKinds}};
};

inline Tensor copy_of(const View& view) {
  Tensor copy(view.dtype(), view.shape());
  if (view.bytes() > 0) std::memcpy(copy.view().raw(), view.raw(), view.bytes());
  return copy;
}
inline Tensor copy_of(const Tensor& tensor) {
  return copy_of(tensor.view());
}

}  // namespace reformer::testing
