#include "tests/ptx/blas/ordered_gemm.h"

#include <bit>
#include <cmath>
#include <random>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

namespace reformer::ptx {
namespace {

void in_order(int64_t count, const std::function<void(int64_t)>& body) {
  for (int64_t i = 0; i < count; ++i) body(i);
}

void on_threads(int64_t count, const std::function<void(int64_t)>& body) {
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < count; ++i) threads.emplace_back(body, i);
  for (std::thread& thread : threads) thread.join();
}

/// A matrix with room between its lines.
struct Storage {
  Storage(int64_t rows, int64_t columns, ElementType element, bool row_major, unsigned seed)
      : type(element),
        row_stride(row_major ? columns + 3 : 1),
        column_stride(row_major ? 1 : rows + 2) {
    bytes.resize(
        static_cast<size_t>((rows * row_stride + columns * column_stride + 8) * bytes_of(type)));
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> values(-1, 1);
    for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(bytes_of(type))) {
      store_element(bytes.data() + at, type, values(random));
    }
  }

  float at(int64_t i, int64_t j) const {
    return load_element(bytes.data() + (i * row_stride + j * column_stride) * bytes_of(type), type);
  }
  ConstMatrix view() const { return {bytes.data(), type, row_stride, column_stride}; }
  Matrix target() { return {bytes.data(), type, row_stride, column_stride}; }

  ElementType type;
  int64_t row_stride;
  int64_t column_stride;
  std::vector<std::byte> bytes;
};

using Case = std::tuple<ElementType, ElementType, bool, bool, bool>;
class GemmTest : public ::testing::TestWithParam<Case> {};

// All orders, types and epilogues against double loops.
TEST_P(GemmTest, MatchesDoubleLoops) {
  const auto [input, output, rows_a, rows_b, rows_d] = GetParam();
  for (const auto& [m, n, k] :
       {std::tuple{1, 1, 1}, {16, 6, 8}, {17, 7, 65}, {50, 40, 33}, {3, 5, 0}}) {
    const Storage a(m, k, input, rows_a, 1);
    const Storage b(k, n, input, rows_b, 2);
    const Storage c(m, n, output, rows_d, 3);
    const Storage bias(m, 1, output, false, 4);
    for (const bool full : {false, true}) {
      Storage d(m, n, output, rows_d, 5);
      GemmArgs args;
      args.m = m;
      args.n = n;
      args.k = k;
      args.a = a.view();
      args.b = b.view();
      args.d = d.target();
      if (full) {
        args.c = c.view();
        args.alpha = 1.5f;
        args.beta = -0.5f;
        args.bias = bias.bytes.data();
        args.bias_type = output;
        args.relu = true;
      }
      gemm(args, in_order);
      const double tolerance = output == ElementType::kFloat32 ? 1e-5 : 1e-2;
      for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
          double sum = 0;
          for (int l = 0; l < k; ++l) sum += double{a.at(i, l)} * b.at(l, j);
          if (full) sum = std::max(0.0, 1.5 * sum - 0.5 * c.at(i, j) + bias.at(i, 0));
          ASSERT_NEAR(d.at(i, j), sum, tolerance * std::max(1.0, std::fabs(sum)))
              << m << "x" << n << "x" << k << " at " << i << ", " << j;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, GemmTest,
    ::testing::Combine(
        ::testing::Values(ElementType::kFloat32, ElementType::kBFloat16, ElementType::kFloat16),
        ::testing::Values(ElementType::kFloat32, ElementType::kBFloat16, ElementType::kFloat16),
        ::testing::Bool(), ::testing::Bool(), ::testing::Bool()));

// Each element equals, to the last bit, the product of its row and its column alone.
TEST(Gemm, BitsDependOnRowAndColumnAlone) {
  constexpr int64_t kM = 93;
  constexpr int64_t kN = 55;
  constexpr int64_t kK = 901;
  const Storage a(kM, kK, ElementType::kFloat32, false, 1);
  const Storage b(kK, kN, ElementType::kFloat32, true, 2);
  for (const int64_t parts : {1, 2, 3}) {
    GemmArgs args;
    args.m = kM;
    args.n = kN;
    args.k = kK;
    args.a = a.view();
    args.b = b.view();
    args.k_parts = parts;
    Storage whole(kM, kN, ElementType::kFloat32, false, 3);
    args.d = whole.target();
    gemm(args, on_threads);
    args.m = args.n = 1;
    for (int64_t i = 0; i < kM; ++i) {
      for (int64_t j = 0; j < kN; ++j) {
        float alone;
        args.a.data = a.bytes.data() + i * a.row_stride * 4;
        args.b.data = b.bytes.data() + j * b.column_stride * 4;
        args.d.data = reinterpret_cast<std::byte*>(&alone);
        gemm(args, in_order);
        ASSERT_EQ(std::bit_cast<uint32_t>(alone), std::bit_cast<uint32_t>(whole.at(i, j)));
      }
    }
  }
}

// One accumulator, in the order of k, by fused multiply-adds; parts are added afterwards.
TEST(Gemm, SumsInOrder) {
  constexpr int64_t kK = 1000;
  const Storage a(1, kK, ElementType::kFloat32, false, 1);
  const Storage b(kK, 1, ElementType::kFloat32, false, 2);
  const auto sum = [&](int64_t begin, int64_t end) {
    float total = 0;
    for (int64_t l = begin; l < end; ++l) total = std::fma(a.at(0, l), b.at(l, 0), total);
    return total;
  };
  GemmArgs args;
  args.m = args.n = 1;
  args.k = kK;
  args.a = a.view();
  args.b = b.view();
  float result = 0;
  args.d.data = reinterpret_cast<std::byte*>(&result);
  gemm(args, in_order);
  EXPECT_EQ(result, sum(0, kK));
  args.k_parts = 2;
  gemm(args, in_order);
  EXPECT_EQ(result, sum(0, 500) + sum(500, kK));
  EXPECT_NE(result, sum(0, kK));
}

TEST(Gemm, WritesNothingBetweenTheLines) {
  const Storage a(5, 4, ElementType::kFloat32, false, 1);
  const Storage b(4, 3, ElementType::kFloat32, false, 2);
  Storage d(5, 3, ElementType::kFloat32, false, 3);
  const std::vector<std::byte> before = d.bytes;
  GemmArgs args;
  args.m = 5;
  args.n = 3;
  args.k = 4;
  args.a = a.view();
  args.b = b.view();
  args.d = d.target();
  gemm(args, in_order);
  for (size_t at = 0; at < before.size(); ++at) {
    const size_t row = at / 4 % 7;
    const bool between = row >= 5 || at / 4 / 7 >= 3;
    EXPECT_TRUE(!between || d.bytes[at] == before[at]) << at;
  }
}

TEST(Gemm, IgnoresCWithoutBetaAndKeepsNan) {
  const float nan = std::nanf("");
  const float one = 1;
  float d = 0;
  GemmArgs args;
  args.m = args.n = args.k = 1;
  args.a.data = args.b.data = reinterpret_cast<const std::byte*>(&one);
  args.c.data = reinterpret_cast<const std::byte*>(&nan);
  args.d.data = reinterpret_cast<std::byte*>(&d);
  gemm(args, in_order);
  EXPECT_EQ(d, 1);
  args.a.data = reinterpret_cast<const std::byte*>(&nan);
  args.relu = true;
  gemm(args, in_order);
  EXPECT_TRUE(std::isnan(d));
}

TEST(Elements, RoundToNearestEven) {
  EXPECT_EQ(bfloat16_from_float(1.0f), 0x3f80);
  EXPECT_EQ(bfloat16_from_float(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(bfloat16_from_float(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(bfloat16_from_float(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(bfloat16_from_float(std::nanf("")), 0x7fff);
  EXPECT_EQ(bfloat16_from_float(3.4e38f), 0x7f80);
}

}  // namespace
}  // namespace reformer::ptx
