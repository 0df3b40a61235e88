// What is derived is legal and near the rule, for every length.
#include <cmath>
#include <cstdint>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/lsh_layout.h"
#include "tests/trainer/config_testing.h"
#include "trainer/config/derive.h"

namespace reformer {
namespace {

constexpr config::Lsh::Mode kModes[] = {config::Lsh::STRICT, config::Lsh::CHUNKED};

std::vector<int64_t> lengths() {
  std::vector<int64_t> all;
  for (int64_t length = 1; length <= 5000; ++length) all.push_back(length);
  for (int64_t length = 5001; length <= int64_t{1} << 20; length += length / 37) {
    all.push_back(length);
  }
  for (int bit = 13; bit <= 24; ++bit) {
    for (const int64_t offset : {-1, 0, 1}) all.push_back((int64_t{1} << bit) + offset);
  }
  return all;
}

void expect_good_buckets(config::Lsh::Mode mode, int64_t length, int64_t chunk) {
  SCOPED_TRACE(fmt::format("mode {}, {} tokens, chunk {}", static_cast<int>(mode), length, chunk));
  const std::vector<int64_t> factors = derive_buckets(mode, length, chunk);
  const int64_t wanted = (mode == config::Lsh::STRICT ? 1 : 2) * (length / chunk);
  const int64_t count = bucket_count(factors);
  for (const int64_t factor : factors) {
    ASSERT_EQ(factor % 2, 0);
    ASSERT_GE(factor, 2);
    ASSERT_LE(factor, 65536);
  }
  ASSERT_GE(count, std::max<int64_t>(2, wanted));
  ASSERT_LE(count, kLargestBucketCount);
  if (wanted <= kLargestPlainBucketCount) {
    ASSERT_EQ(factors.size(), 1u);
    ASSERT_LE(count, std::max<int64_t>(2, wanted + 1));
    return;
  }
  ASSERT_EQ(factors.size(), 2u);
  ASSERT_LE(factors[0], factors[1]);
  ASSERT_LE(factors[1], 2 * factors[0] + 8);
  // A step of 2 in the larger factor of the most square pair costs at most about twice the root.
  ASSERT_LE(static_cast<double>(count - wanted), 2 * std::sqrt(static_cast<double>(wanted)) + 4);
}

TEST(DeriveBuckets, AreEvenInRangeAndNearTheRule) {
  for (const int64_t length : lengths()) {
    for (const int64_t chunk : {1, 2, 7, 16, 64, 100, 256, 4096, 65536}) {
      for (const config::Lsh::Mode mode : kModes) expect_good_buckets(mode, length, chunk);
    }
  }
}

TEST(DeriveBuckets, Examples) {
  using Factors = std::vector<int64_t>;
  EXPECT_EQ(derive_buckets(config::Lsh::STRICT, 1024, 64), Factors{16});
  EXPECT_EQ(derive_buckets(config::Lsh::CHUNKED, 1024, 64), Factors{32});
  EXPECT_EQ(derive_buckets(config::Lsh::STRICT, 1023, 64), Factors{16});
  EXPECT_EQ(derive_buckets(config::Lsh::STRICT, 63, 64), Factors{2});
  EXPECT_EQ(derive_buckets(config::Lsh::CHUNKED, 4096, 64), Factors{128});
  // Of equal products, 16 x 36 and 24 x 24, the more square one.
  EXPECT_EQ(derive_buckets(config::Lsh::STRICT, 576, 1), (Factors{24, 24}));
  // The published counts of enwik8 and imagenet64.
  EXPECT_EQ(derive_buckets(config::Lsh::CHUNKED, 65536, 256), (Factors{16, 32}));
  EXPECT_EQ(bucket_count(derive_buckets(config::Lsh::CHUNKED, 12288, 128)), 192);
}

TEST(DerivePositions, CoverEveryLength) {
  for (const int64_t length : lengths()) {
    SCOPED_TRACE(length);
    const std::vector<int64_t> shape = derive_position_shape(length);
    ASSERT_EQ(shape.size(), 2u);
    ASSERT_GE(shape[0], 1);
    ASSERT_GE(shape[0] * shape[1], length);
    ASSERT_LT(shape[0] * (shape[1] - 1), length);
    ASSERT_LE(shape[0], shape[1]);
    ASSERT_LE(shape[1], shape[0] + 2);
  }
}

TEST(DerivePositions, WidthsAddUp) {
  for (int64_t width = 2; width <= 300; ++width) {
    const std::vector<int64_t> widths = derive_position_widths(width);
    ASSERT_EQ(widths.size(), 2u);
    ASSERT_GE(widths[0], 1);
    ASSERT_GE(widths[1], 1);
    ASSERT_EQ(widths[0] + widths[1], width);
  }
}

/// Any length, of the short ones a sample, makes a valid model, and its text is accepted again.
TEST(DeriveModel, EveryLengthIsAccepted) {
  for (const int64_t length : lengths()) {
    if (length < 2 || (length < 4990 && length % 7 != 0)) continue;
    for (const char* mode : {"STRICT", "CHUNKED"}) {
      SCOPED_TRACE(fmt::format("{} {}", mode, length));
      const RunConfig config = testing::parse(
          testing::kSmallest, {fmt::format("data.length={}", std::min<int64_t>(length, 1 << 24)),
                               fmt::format("model.lsh.mode={}", mode)});
      const RunConfig again = testing::parse(to_text(config.run));
      ASSERT_EQ(to_text(again.run), to_text(config.run));
    }
  }
}

}  // namespace
}  // namespace reformer
