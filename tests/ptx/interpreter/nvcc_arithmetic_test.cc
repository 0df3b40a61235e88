// What nvcc makes of the kernels in kernels/ that compute, against plainly computed values. Skipped
// where the build found no nvcc.
#include "tests/ptx/interpreter/nvcc_testing.h"

namespace reformer::ptx {
namespace {

using namespace testing;

TEST(NvccArithmeticTest, Functions) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("arithmetic");
  const int n = 500;
  auto a = floats(500);
  for (float& v : a) v = std::fabs(v) * 3;
  const DeviceAddress out = kernels.memory.allocate(500 * 4);
  kernels.call("functions", {.grid = {4}, .block = {128}}, kernels.memory.allocate(a), out, n);
  std::vector<double> expected;
  for (const float value : a) {
    const double x = value;
    expected.push_back(std::exp(-x) + std::log(x + 2) + std::tanh(x) + std::sqrt(x + 1) +
                       1 / std::sqrt(x + 1) + std::erf(x) + std::sin(x) + x / (1 + std::exp(-x)) +
                       std::max<double>(x, 0.3F) + std::min<double>(x, 0.1F) + std::fabs(x) +
                       std::floor(double{value * 10.0F}) + std::pow(x + 1, 1.7));
  }
  expect_near(kernels.result(out, 500), expected, 1e-5);
}

u32 bytes_of_switch(u32 bytes, std::size_t which) {
  switch (which) {
    case 0:
      return bytes + 1;
    case 1:
      return bytes * 3;
    case 2:
      return bytes ^ 7;
    case 3:
      return bytes - 9;
    case 4:
      return ~bytes;
    case 5:
      return bytes << 2;
    case 6:
      return bytes >> 1;
    default:
      return bytes % 1000;
  }
}

TEST(NvccArithmeticTest, Integers) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("arithmetic");
  const int n = 500;
  const auto a = integers(500, 0x7fffffff);
  const DeviceAddress out = kernels.memory.allocate(500 * 8);
  kernels.call("integers", {.grid = {4}, .block = {128}}, kernels.memory.allocate(a), out, n);
  const auto values = kernels.memory.read<u64>(out, 500);
  for (std::size_t i = 0; i < 500; ++i) {
    const u32 x = static_cast<u32>(a[i]);
    u64 hash = x * 0x9E3779B97F4A7C15ULL;
    hash ^= hash >> 29;
    hash += static_cast<u64>((u128{hash} * 0xBF58476D1CE4E5B9ULL) >> 64);
    u32 r = x;
    for (std::size_t k = 0; k < i % 5; ++k) r = r * 1664525U + 1013904223U;
    const u32 mixed = (x & r) | (~x & 0x5a5a5a5aU);
    const u32 picked =
        (r >> 8 & 255) | (x >> 8 & 255) << 8 | (r >> 24 & 255) << 16 | (x >> 24 & 255) << 24;
    u32 reversed = 0;
    for (u32 k = 0; k < 32; ++k) reversed |= (x >> k & 1) << (31 - k);
    const u32 funnel = static_cast<u32>((u64{r} << 32 | x) << (i & 31) >> 32);
    const u64 expected = (hash >> 7) +
                         static_cast<u64>(a[i] / (static_cast<int>(i) % 13 + 1)) * 31 +
                         static_cast<u64>(a[i] % (static_cast<int>(i) % 17 + 1)) + mixed +
                         bytes_of_switch(picked, i % 8) + reversed +
                         static_cast<u64>(std::popcount(hash) + std::countl_zero(hash)) + funnel;
    EXPECT_EQ(values[i], expected) << i;
  }
}

TEST(NvccArithmeticTest, Calls) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("arithmetic");
  const auto a = integers(64, 1000);
  const DeviceAddress out = kernels.zeros(65 * 8);
  kernels.call("calls", {.grid = {1}, .block = {64}}, kernels.memory.allocate(a), out);
  const auto values = kernels.memory.read<double>(out, 65);
  const std::vector<int> fibonacci = {0, 1, 1, 2, 3, 5, 8, 13, 21};
  for (std::size_t i = 0; i < 64; ++i) {
    double expected = fibonacci[static_cast<std::size_t>(a[i] % 9)];
    const double half = 0.5 * static_cast<double>(i);
    expected += i % 2 == 0 ? half + 1 : half * half;
    for (int k = 1; k < 5; ++k) expected += std::sqrt(static_cast<double>(a[i]) + k) / k;
    EXPECT_NEAR(values[i], expected, 1e-9);
  }
  EXPECT_EQ(values[64], std::accumulate(a.begin(), a.end(), 0));
}

TEST(NvccArithmeticTest, SmallFloats) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("small_floats");
  const int n = 300;
  auto a = floats(300);
  for (std::size_t i = 0; i < 300; ++i) a[i] *= std::pow(10.0F, static_cast<float>(i % 12) - 7);
  const DeviceAddress in = kernels.memory.allocate(a), out = kernels.memory.allocate(300 * 4);
  const DeviceAddress small = kernels.memory.allocate(300 * 2);
  kernels.call("halves", {.grid = {3}, .block = {128}}, in, small, out, n);
  for (std::size_t i = 0; i < 300; ++i) {
    EXPECT_EQ(kernels.memory.read<u16>(small, 300)[i], to_half(a[i]));
    EXPECT_EQ(kernels.result(out, 300)[i], half_to_float(to_half(a[i])));
  }
  kernels.call("bfloats", {.grid = {3}, .block = {128}}, in, small, out, n);
  for (std::size_t i = 0; i < 300; ++i) {
    EXPECT_EQ(kernels.result(out, 300)[i], bfloat_to_float(to_bfloat(a[i])));
  }
}

TEST(NvccArithmeticTest, PairsOfSmallFloats) {
  SKIP_WITHOUT_NVCC();
  const int n = 300;
  const auto a = floats(600), b = floats(600);
  for (const bool half : {true, false}) {
    const auto narrow = [&](double v) { return half ? to_half(v) : to_bfloat(v); };
    const auto rounded = [&](double v) {
      return double{half ? half_to_float(narrow(v)) : bfloat_to_float(narrow(v))};
    };
    std::vector<u16> small_a, small_b;
    for (std::size_t i = 0; i < 600; ++i) {
      small_a.push_back(narrow(a[i]));
      small_b.push_back(narrow(b[i]));
    }
    Kernels kernels("small_floats");
    const DeviceAddress out = kernels.memory.allocate(600 * 2);
    kernels.call(half ? "half_pairs" : "bfloat_pairs", {.grid = {3}, .block = {128}},
                 kernels.memory.allocate(small_a), kernels.memory.allocate(small_b), out, n);
    const auto values = kernels.memory.read<u16>(out, 600);
    for (std::size_t i = 0; i < 600; ++i) {
      const double x = rounded(a[i]), y = rounded(b[i]);
      const double added = half ? rounded(x + rounded(y * y)) : rounded(x + y);
      EXPECT_EQ(values[i], narrow(std::fma(x, y, added))) << i;
    }
  }
}

std::vector<u16> to_halves(const std::vector<float>& values) {
  std::vector<u16> halves;
  for (const float v : values) halves.push_back(to_half(v));
  return halves;
}

std::vector<float> to_floats(const std::vector<u16>& halves) {
  std::vector<float> values;
  for (const u16 h : halves) values.push_back(half_to_float(h));
  return values;
}

TEST(NvccArithmeticTest, TensorCores) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("tensor_cores");
  const auto check = [&](const std::string& name, u32 threads, std::size_t side) {
    const auto a = to_halves(floats(side * side)), b = to_halves(floats(side * side));
    const DeviceAddress c = kernels.memory.allocate(side * side * 4);
    kernels.call(name, {.grid = {1}, .block = {threads}}, kernels.memory.allocate(a),
                 kernels.memory.allocate(b), c);
    expect_near(kernels.result(c, side * side),
                product(to_floats(a), to_floats(b), side, side, side, true), 1e-5);
  };
  check("pipeline", 128, 64);
  check("fragments", 32, 16);
}

}  // namespace
}  // namespace reformer::ptx
