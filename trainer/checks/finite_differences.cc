#include "trainer/checks/finite_differences.h"

#include <array>
#include <cmath>

#include "kernels/core/check.h"
#include "kernels/core/philox.h"

namespace reformer {
namespace {

constexpr double kLossChange = 4e-3;  // to each side: well above rounding, well below curvature
constexpr double kNoise = 0.5;        // relative to the size of a gradient element

std::vector<double> direction_around(const std::vector<double>& gradient, uint64_t seed) {
  double squares = 0;
  for (const double g : gradient) squares += g * g;
  CHECK(squares > 0);
  const double size = std::sqrt(squares / static_cast<double>(gradient.size()));
  const PhiloxKey key{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  std::vector<double> direction = gradient;
  for (size_t i = 0; i < direction.size(); ++i) {
    const std::array<float, 4> normals =
        normal_quad(philox(key, {static_cast<uint32_t>(i / 4), 0, 0, 0}));
    direction[i] += kNoise * size * static_cast<double>(normals[i % 4]);
  }
  return direction;
}

}  // namespace

double slope_ratio(const View& values, const std::vector<double>& gradient, uint64_t seed,
                   const std::function<double()>& loss) {
  CHECK_EQ(values.elements(), static_cast<int64_t>(gradient.size()));
  const std::vector<double> direction = direction_around(gradient, seed);
  double slope = 0;
  for (size_t i = 0; i < direction.size(); ++i) slope += direction[i] * gradient[i];
  const double step = kLossChange / slope;
  float* const elements = values.data<float>();
  const std::vector<float> before(elements, elements + values.elements());
  const auto loss_at = [&](double offset) {
    for (size_t i = 0; i < direction.size(); ++i) {
      elements[i] = before[i] + static_cast<float>(offset * direction[i]);
    }
    return loss();
  };
  const double difference = (loss_at(step) - loss_at(-step)) / (2 * step);
  std::copy(before.begin(), before.end(), elements);
  return difference / slope;
}

}  // namespace reformer
