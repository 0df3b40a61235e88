// What nvcc makes of the kernels in kernels/, against plainly computed values. Skipped where the
// build found no nvcc.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;

std::string text_of(const std::string& name) {
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

std::mt19937 random_numbers(1);

std::vector<float> floats(std::size_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& v : values) v = normal(random_numbers);
  return values;
}

std::vector<int> integers(std::size_t count, int most) {
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

void expect_near(const std::vector<float>& values, const std::vector<double>& expected,
                 double tolerance) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(values[i], expected[i], tolerance * (1 + std::fabs(expected[i])))
        << "element " << i;
  }
}

// left [m, k] · right [k, n], or right [n, k] transposed.
std::vector<double> product(const std::vector<float>& left, const std::vector<float>& right,
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

TEST(NvccKernelsTest, Add) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("basic");
  const int n = 1000;
  const auto a = floats(1000), b = floats(1000);
  const DeviceAddress c = kernels.memory.allocate(1000 * 4);
  kernels.call("add", {.grid = {8}, .block = {128}}, kernels.memory.allocate(a),
               kernels.memory.allocate(b), c, n);
  const auto sums = kernels.result(c, 1000);
  for (std::size_t i = 0; i < 1000; ++i) EXPECT_EQ(sums[i], a[i] + b[i]);
}

TEST(NvccKernelsTest, ChangeQuads) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("basic");
  const int n = 500;
  const auto a = floats(2000);
  const DeviceAddress out = kernels.memory.allocate(2000 * 4);
  kernels.call("change_quads", {.grid = {4}, .block = {128}}, kernels.memory.allocate(a), out, n);
  const auto values = kernels.result(out, 2000);
  for (std::size_t i = 0; i < 2000; i += 4) {
    EXPECT_EQ(values[i], a[i] * 2);
    EXPECT_EQ(values[i + 1], a[i + 1] + 1);
    EXPECT_EQ(values[i + 2], -a[i + 2]);
    EXPECT_EQ(values[i + 3], a[i + 3] * a[i + 3]);
  }
}

TEST(NvccKernelsTest, Sum) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("basic");
  const int n = 5000;
  const auto a = floats(5000);
  const DeviceAddress out = kernels.memory.allocate(4 * 4);
  kernels.call("sum", {.grid = {4}, .block = {256}}, kernels.memory.allocate(a), out, n);
  const auto parts = kernels.result(out, 4);
  EXPECT_NEAR(std::accumulate(parts.begin(), parts.end(), 0.0),
              std::accumulate(a.begin(), a.end(), 0.0), 1e-3);
}

TEST(NvccKernelsTest, Exchange) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("basic");
  const auto a = floats(256);
  const DeviceAddress out = kernels.memory.allocate(256 * 4);
  kernels.call("exchange", {.grid = {2}, .block = {128}, .dynamic_shared_bytes = 1024},
               kernels.memory.allocate(a), out);
  const auto values = kernels.result(out, 256);
  for (std::size_t i = 0; i < 256; ++i) {
    EXPECT_EQ(values[i], a[i / 128 * 128 + 127 - i % 128] + a[i ^ 1] * 2);
  }
}

TEST(NvccKernelsTest, Multiply) {
  SKIP_WITHOUT_NVCC();
  const int m = 50, n = 40, k = 70;
  const auto a = floats(50 * 70), b = floats(70 * 40);
  for (const Order order : {Order::kForward, Order::kReversed, Order::kShuffled}) {
    Kernels kernels("basic");
    kernels.options.warp_order = kernels.options.block_order = order;
    const DeviceAddress c = kernels.memory.allocate(50 * 40 * 4);
    kernels.call("multiply", {.grid = {3, 4}, .block = {16, 16}}, kernels.memory.allocate(a),
                 kernels.memory.allocate(b), c, m, n, k);
    expect_near(kernels.result(c, 50 * 40), product(a, b, 50, 40, 70, false), 1e-5);
  }
}

TEST(NvccKernelsTest, Count) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("basic");
  const int n = 1000;
  auto a = floats(1000);
  for (float& v : a) v = std::fabs(v);
  const DeviceAddress sums = kernels.zeros(32), marks = kernels.zeros(16);
  kernels.call("count", {.grid = {8}, .block = {128}}, kernels.memory.allocate(a), sums, marks, n);
  std::vector<double> expected(8);
  for (std::size_t i = 0; i < 1000; ++i) expected[i % 8] += a[i];
  expect_near(kernels.result(sums, 8), expected, 1e-5);
  EXPECT_EQ(kernels.memory.read<int>(marks, 4), (std::vector<int>{999, 5, 9, 1000}));
}

TEST(NvccKernelsTest, Scale) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("basic");
  auto a = floats(256);
  for (float& v : a) v = std::fabs(v);
  struct {
    DeviceAddress a, out;
    int n;
    float factor;
  } scaling = {kernels.memory.allocate(a), kernels.zeros(256 * 4), 256, 1.25F};
  kernels.call("scale", {.grid = {2}, .block = {128}}, scaling);
  std::vector<double> expected;
  for (std::size_t i = 0; i < 256; ++i) {
    const int which = static_cast<int>(a[i] * 100) & 7;
    expected.push_back((which + 1) * double{a[i]} * 1.25 + 0.5 + static_cast<double>(i % 4));
  }
  expect_near(kernels.result(scaling.out, 256), expected, 1e-6);
}

TEST(NvccKernelsTest, Shuffle) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("warps");
  const auto a = integers(128, 1000);
  const DeviceAddress out = kernels.memory.allocate(128 * 4);
  kernels.call("shuffle", {.grid = {2}, .block = {64}}, kernels.memory.allocate(a), out);
  const auto values = kernels.memory.read<int>(out, 128);
  for (std::size_t i = 0; i < 128; ++i) {
    const std::size_t lane = i % 32;
    const int* warp = a.data() + i - lane;
    u32 odd = 0;
    for (std::size_t l = 0; l < 32; ++l) odd |= (static_cast<u32>(warp[l]) & 1) << l;
    const int down = warp[lane + 3 < 32 ? lane + 3 : lane],
              up = warp[lane % 16 >= 2 ? lane - 2 : lane];
    const int any = std::any_of(warp, warp + 32, [](int v) { return v > 1000; }) ? 1 : 0;
    const u32 expected =
        static_cast<u32>(down * 3 + warp[i % 64 * 7 & 31] * 5 + up * 7 + any * 11 + 13) + odd +
        static_cast<u32>(std::popcount(odd) + std::countr_zero(odd) + 1 + std::countl_zero(odd));
    EXPECT_EQ(static_cast<u32>(values[i]), expected);
  }
}

TEST(NvccKernelsTest, Part) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("warps");
  const auto a = integers(128, 200);
  const DeviceAddress out = kernels.memory.allocate(128 * 4);
  kernels.call("part", {.grid = {2}, .block = {64}}, kernels.memory.allocate(a), out);
  const auto values = kernels.memory.read<int>(out, 128);
  for (std::size_t i = 0; i < 128; ++i) {
    const int shuffled = i % 32 < 16 ? a[i ^ 8] : a[i ^ 4] * 2;
    const int step = static_cast<int>(i % 64 % 5) + 1;
    EXPECT_EQ(values[i], shuffled + (a[i] + step - 1) / step);
  }
}

TEST(NvccKernelsTest, Softmax) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("warps");
  const int n = 300;
  const auto x = floats(1500);
  const DeviceAddress y = kernels.memory.allocate(1500 * 4);
  kernels.call("softmax", {.grid = {5}, .block = {128}}, kernels.memory.allocate(x), y, n);
  std::vector<double> expected;
  for (std::size_t row = 0; row < 5; ++row) {
    double total = 0;
    for (std::size_t i = 0; i < 300; ++i) total += std::exp(double{x[row * 300 + i]});
    for (std::size_t i = 0; i < 300; ++i)
      expected.push_back(std::exp(double{x[row * 300 + i]}) / total);
  }
  expect_near(kernels.result(y, 1500), expected, 1e-6);
}

TEST(NvccKernelsTest, Meet) {
  SKIP_WITHOUT_NVCC();
  for (const Order order : {Order::kForward, Order::kReversed, Order::kShuffled}) {
    Kernels kernels("warps");
    kernels.options.block_order = order;
    const DeviceAddress total = kernels.zeros(4), out = kernels.memory.allocate(40 * 4);
    kernels.call("meet", {.grid = {40}, .block = {64}, .cooperative = true}, total, out);
    EXPECT_EQ(kernels.memory.read<int>(out, 40), std::vector<int>(40, 780));
  }
}

TEST(NvccKernelsTest, Agree) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("warps");
  const auto a = integers(64, 1000);
  const DeviceAddress out = kernels.memory.allocate(64 * 4);
  kernels.call("agree", {.grid = {1}, .block = {64}}, kernels.memory.allocate(a), out);
  const auto values = kernels.memory.read<int>(out, 64);
  const auto odd = std::count_if(a.begin(), a.end(), [](int v) { return v % 2 == 1; });
  for (std::size_t i = 0; i < 64; ++i) {
    const auto warp = a.begin() + static_cast<std::ptrdiff_t>(i / 32 * 32);
    const auto equal = std::count_if(warp, warp + 32, [&](int v) { return (v & 3) == (a[i] & 3); });
    EXPECT_EQ(values[i], odd * 7 + 5 + std::accumulate(warp, warp + 32, 0) +
                             2 * *std::max_element(warp, warp + 32) + 11 * equal);
  }
}

TEST(NvccKernelsTest, Functions) {
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

TEST(NvccKernelsTest, Integers) {
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

TEST(NvccKernelsTest, Calls) {
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

TEST(NvccKernelsTest, SmallFloats) {
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

TEST(NvccKernelsTest, PairsOfSmallFloats) {
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

TEST(NvccKernelsTest, TensorCores) {
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

TEST(NvccKernelsTest, SortAndScanOfCub) {
  SKIP_WITHOUT_NVCC();
  for (const Order order : {Order::kForward, Order::kReversed, Order::kShuffled}) {
    Kernels kernels("sorting");
    kernels.options.warp_order = order;
    const auto keys = integers(1024, 300);
    const DeviceAddress sorted = kernels.memory.allocate(1024 * 4),
                        places = kernels.memory.allocate(1024 * 4);
    kernels.call("sort", {.grid = {2}, .block = {128}}, kernels.memory.allocate(keys), sorted,
                 places);
    const auto values = kernels.memory.read<int>(sorted, 1024),
               from = kernels.memory.read<int>(places, 1024);
    for (std::size_t block = 0; block < 2; ++block) {
      std::vector<int> order_of(512);
      std::iota(order_of.begin(), order_of.end(), 0);
      const int* own = keys.data() + block * 512;
      std::stable_sort(order_of.begin(), order_of.end(),
                       [&](int x, int y) { return own[x] < own[y]; });
      for (std::size_t i = 0; i < 512; ++i) {
        EXPECT_EQ(from[block * 512 + i], order_of[i]);
        EXPECT_EQ(values[block * 512 + i], own[order_of[i]]);
      }
    }
    const DeviceAddress sums = kernels.memory.allocate(256 * 4);
    kernels.call("scan", {.grid = {2}, .block = {128}}, kernels.memory.allocate(keys), sums);
    const auto scanned = kernels.memory.read<int>(sums, 256);
    for (std::size_t i = 0; i < 256; ++i) {
      const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(i / 128 * 128);
      EXPECT_EQ(scanned[i],
                std::accumulate(begin, keys.begin() + static_cast<std::ptrdiff_t>(i), 0));
    }
  }
}

TEST(NvccKernelsTest, FaultsAreFound) {
  SKIP_WITHOUT_NVCC();
  Kernels kernels("faulty");
  const DeviceAddress a = kernels.memory.allocate(floats(64)), out = kernels.zeros(64 * 4);
  const LaunchShape one = {.grid = {1}, .block = {64}, .dynamic_shared_bytes = 256};
  EXPECT_CONTAINS(kernels.fault_of("races", one, a, out), "shared-memory race");
  EXPECT_CONTAINS(kernels.fault_of("reads_beyond", one, a, out),
                  "out of bounds by 4 bytes of an allocation of 256");
  EXPECT_CONTAINS(kernels.fault_of("never_meets", one, a, out), "deadlock");
  const int stride = 64;
  EXPECT_CONTAINS(kernels.fault_of("writes_beyond", one, a, out, stride),
                  "out of bounds of shared memory");
  const LaunchShape many = {.grid = {4}, .block = {64}};
  EXPECT_CONTAINS(kernels.fault_of("loses_sums", many, a, out), "race in global memory");
}

}  // namespace
}  // namespace reformer::ptx
