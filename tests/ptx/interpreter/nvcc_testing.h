// What the tests of kernels compiled by nvcc have in common.
#pragma once

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx::testing {

// The PTX of kernels/NAME.cu; "" where the build found no nvcc.
inline std::string text_of(const std::string& name) {
#ifdef PTX_KERNELS
  std::ifstream file(std::string(PTX_KERNELS) + "/" + name + ".ptx");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
#else
  static_cast<void>(name);
  return "";
#endif
}

#define SKIP_WITHOUT_NVCC() \
  if (text_of("basic").empty()) GTEST_SKIP() << "nvcc was not found when this was built"

inline std::mt19937 random_numbers(1);

inline std::vector<float> floats(std::size_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& v : values) v = normal(random_numbers);
  return values;
}

inline std::vector<int> integers(std::size_t count, int most) {
  std::uniform_int_distribution<int> uniform(0, most);
  std::vector<int> values(count);
  for (int& v : values) v = uniform(random_numbers);
  return values;
}

// A module and arguments of any type.
struct Kernels : Device {
  explicit Kernels(const std::string& name) : Device(text_of(name)) {}

  template <class... Arguments>
  void call(const std::string& name, const LaunchShape& shape, const Arguments&... arguments) {
    const std::vector<const void*> pointers = {static_cast<const void*>(&arguments)...};
    LaunchOptions checks = options;
    checks.lane_races = true;
    launch(module.kernel(name), shape, pointers, memory, checks);
  }
  template <class... Arguments>
  std::string fault_of(const std::string& name, const LaunchShape& shape,
                       const Arguments&... arguments) {
    try {
      call(name, shape, arguments...);
    } catch (const Fault& fault) {
      return fault.what();
    }
    return "";
  }
  DeviceAddress zeros(std::size_t bytes) { return memory.allocate(std::vector<u8>(bytes)); }
  std::vector<float> result(DeviceAddress at, std::size_t count) {
    return memory.read<float>(at, count);
  }

  LaunchOptions options = {.global_races = true};
};

inline void expect_near(const std::vector<float>& values, const std::vector<double>& expected,
                        double tolerance) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(values[i], expected[i], tolerance * (1 + std::fabs(expected[i])))
        << "element " << i;
  }
}

// left [m, k] · right [k, n], or right [n, k] transposed.
inline std::vector<double> product(const std::vector<float>& left, const std::vector<float>& right,
                                   std::size_t m, std::size_t n, std::size_t k, bool transposed) {
  std::vector<double> result(m * n);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t q = 0; q < k; ++q) {
        result[i * n + j] += double{left[i * k + q]} * right[transposed ? j * k + q : q * n + j];
      }
    }
  }
  return result;
}

}  // namespace reformer::ptx::testing
