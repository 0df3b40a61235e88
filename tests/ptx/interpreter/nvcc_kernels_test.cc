// What nvcc makes of the kernels in kernels/ that move data and meet each other, against plainly
// computed values. Skipped where the build found no nvcc.
#include "tests/ptx/interpreter/nvcc_testing.h"

namespace reformer::ptx {
namespace {

using namespace testing;

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
